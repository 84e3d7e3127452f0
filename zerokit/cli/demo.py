"""`zerokit demo`: the apps of zerokit/cli/demos under the local ZeroGPU, on a page or in the terminal."""

from __future__ import annotations

import html
import os
import shutil
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from zerokit import embedded
from zerokit.cli.dev import describe
from zerokit.errors import RequestError, UsageError, ZeroKitError

if TYPE_CHECKING:
    from rich.console import Console

    from zerokit.emulator import ZeroGPU
    from zerokit.emulator.app import App
    from zerokit.emulator.records import Call

DEMOS = {"chat": ("chat",), "diffusion": ("diffusion",), "lora": ("lora_text", "lora_image")}
"""The apps of each, by their files."""
ASKED = {"chat": "chat", "lora": "lora_text"}
"""The apps that answer a question."""
PAINTED = {"diffusion": "diffusion", "lora": "lora_image"}
"""The apps that make pictures."""
HOST = "127.0.0.1"
SETTLING_S = 10.0
"""How long after an answer its price may take to be known."""


class DemoFailed(ZeroKitError):
    title = "The demo does not run"
    advice = "Above are its last lines. Please report them if they say nothing to you."


class Refused(ZeroKitError):
    """An error that the app itself has already put into words."""

    advice = ""

    def __init__(self, message: str, title: str = "") -> None:
        super().__init__(message)
        self.title = title or ZeroKitError.title  # type: ignore[misc]


def demo(
    name: Annotated[str | None, typer.Argument(help=f"Which one: {', '.join(DEMOS)}. By default all.")] = None,
    ask: Annotated[str | None, typer.Option(help="Answer this in the terminal, without a page.")] = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(help="With --ask or --prompt: one that acts, as NAME or NAME=WEIGHT. Several if you like."),
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="Paint this in the terminal, without a page.")] = None,
    seed: Annotated[int | None, typer.Option(help="With --prompt: for the same picture again.")] = None,
    out: Annotated[Path | None, typer.Option(help="With --prompt: the PNG file to write.")] = None,
    port: Annotated[int, typer.Option(help="Where the page is.", min=1, max=65535)] = 7860,
    visitor: Annotated[
        str, typer.Option("--as", help="Who visits: anonymous, free, pro, team or enterprise.")
    ] = "free",
) -> None:
    """Try ZeroKit here: a small model on a local ZeroGPU, with nothing to download."""
    names = _chosen(name)
    if ask is not None and not set(names) & set(ASKED):
        raise UsageError(f"--ask is for the chat: zerokit demo chat --ask {ask!r}")
    if adapter and ((ask is None and prompt is None) or "lora" not in names):
        raise UsageError(
            '--adapter goes with --ask or --prompt: zerokit demo lora --ask "What is ZeroGPU?" --adapter pirate'
        )
    if prompt is not None and not set(names) & set(PAINTED):
        raise UsageError(f"--prompt is for images: zerokit demo diffusion --prompt {prompt!r}")
    if ask is not None and prompt is not None:
        raise UsageError("--ask is for the chat and --prompt is for images: give one of them.")
    if prompt is None and (seed is not None or out is not None):
        raise UsageError('--seed and --out go with --prompt: zerokit demo diffusion --prompt "a red circle"')
    weights = _weights(adapter or [], "chat-" if ask is not None else "image-")
    if ask is not None:
        _answer(ask, "lora" if weights else names[0], weights, visitor)
    elif prompt is not None:
        _paint(prompt, "lora" if weights or name == "lora" else "diffusion", seed, out, weights, visitor)
    else:
        _serve(names, port, visitor)


def _chosen(name: str | None) -> tuple[str, ...]:
    if name is None:
        return tuple(DEMOS)
    if name in DEMOS:
        return (name,)
    near = get_close_matches(name, DEMOS, n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UsageError(f"There is no demo {name!r}: it is one of {', '.join(DEMOS)}.{hint}")


def _apps(name: str) -> tuple[str, ...]:
    """The apps of a demo, by their files; that of styles only where there are styles in the package."""
    has_styles = any(adapter.startswith("image-") for adapter in embedded.adapter_names())
    return tuple(file for file in DEMOS[name] if file != "lora_image" or has_styles)


def _weights(given: list[str], prefix: str) -> dict[str, float | None]:
    """Weights by the names of adapters of that model; None: their own."""
    weights: dict[str, float | None] = {}
    known = [name.removeprefix(prefix) for name in embedded.adapter_names() if name.startswith(prefix)]
    for one in given:
        name, separator, weight = one.partition("=")
        if name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f'Did you mean "{near[0]}"?' if near else f"There are: {', '.join(known)}."
            raise UsageError(f'There is no adapter "{name}". {hint}')
        try:
            weights[name] = float(weight) if separator else None
        except ValueError as exc:
            raise UsageError(f"An adapter's weight is a number: --adapter {name}=0.5, not {weight!r}.") from exc
    return weights


def _serve(names: tuple[str, ...], port: int, visitor: str) -> None:
    """Run the apps until Ctrl+C, the first at `port`, and print what each call cost."""
    console = _console()
    files = [file for name in names for file in _apps(name)]
    ports = _ports(port, len(files))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _zero_gpu(visitor, on_call=lambda call: console.print(f"  {describe(call)}")) as zero:
            with console.status("Starting (some seconds)"):
                apps = _run_all(zero, files, ports)
            _welcome(console, zero, apps, visitor)
            while all(app.process.poll() is None for app in apps):
                time.sleep(0.2)
            _fail("\n".join(app.log() for app in apps), "It ended by itself.")
    except KeyboardInterrupt:
        console.print("\n  Stopped.")


def _answer(question: str, name: str, adapters: dict[str, float | None], visitor: str) -> None:
    """Ask a chat app once, and print the answer and its price."""
    if not question.strip():
        raise RequestError('The question is empty. Ask something: zerokit demo chat --ask "What is ZeroGPU?"')
    console = _console()
    more = {"adapters": adapters} if adapters else {}
    answer, price = _call(console, ASKED[name], visitor, "/chat", message=question, **more)
    console.print(answer["text"], markup=False, soft_wrap=True)
    console.print(f"\n{price}", style="dim")


def _paint(
    prompt: str, name: str, seed: int | None, out: Path | None, adapters: dict[str, float | None], visitor: str
) -> None:
    """Ask an image app for one picture, write it, and print what it cost."""
    if not prompt.strip():
        raise RequestError('The prompt is empty. Say something: zerokit demo diffusion --prompt "a red circle"')
    if out is not None:
        _check_out(out)
    console = _console()
    more = {"adapters": adapters} if adapters else {}
    asked = {"prompt": prompt, "seed": seed, **more}
    (pictures, details), price = _call(console, PAINTED[name], visitor, "/generate", **asked)
    if not pictures:
        raise DemoFailed("There was no picture.")
    made = Path(pictures[0]["image"])
    file = out or Path(made.name)
    shutil.copyfile(made, file)
    steps = f"{details['steps']} steps, seed {details['seeds'][0]}"
    console.print(f"{file}: {details['width']} x {details['height']}, {steps}", markup=False, soft_wrap=True)
    for note in details["notes"]:
        console.print(note, markup=False, soft_wrap=True)
    console.print(f"\n{price}", style="dim")


def _check_out(out: Path) -> None:
    """Refuse before anything is started what could not be written afterwards."""
    if out.suffix.lower() != ".png":
        raise UsageError(f"The picture is written as PNG: give --out a name that ends in .png, not {out.name!r}.")
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        raise UsageError(f"{out} cannot be written: choose a file in a folder that is there.")


def _call(console: Console, name: str, visitor: str, endpoint: str, **values: Any) -> tuple[Any, str]:
    """Make one call of an app through its API and a worker, like any visitor: its result, and what it cost."""
    calls: list[Call] = []
    with _zero_gpu(visitor, on_call=calls.append) as zero:
        with console.status("Starting (some seconds)"):
            app = _run(zero, name, None)
        with console.status("Asking"):
            result = _ask(app, zero.header(visitor), endpoint, values)
            give_up_at = time.monotonic() + SETTLING_S
            while not calls and time.monotonic() < give_up_at:
                time.sleep(0.02)
    return result, describe(calls[-1]) if calls else ""


def _ask(app: App, header: dict[str, str], endpoint: str, values: dict[str, Any]) -> Any:
    from gradio_client import Client
    from gradio_client.exceptions import AppError

    client = Client(app.url, headers=header, verbose=False, analytics_enabled=False)
    try:
        return client.predict(api_name=endpoint, **values)
    except AppError as exc:
        raise Refused(html.unescape(exc.message), exc.title) from exc
    finally:
        client.close()


def _zero_gpu(visitor: str, **options: Any) -> ZeroGPU:
    from zerokit.emulator import ZeroGPU

    try:
        return ZeroGPU(visitor, **options)
    except ValueError as exc:
        raise UsageError(str(exc)) from exc


def _run(zero: ZeroGPU, file: str, port: int | None) -> App:
    try:
        return zero.run(Path(__file__).with_name("demos") / f"{file}.py", port=port, env=_environment())
    except RuntimeError as exc:
        what, _, log = str(exc).partition("\n")
        _fail(log, what)


def _run_all(zero: ZeroGPU, files: list[str], ports: list[int]) -> list[App]:
    """The apps side by side, for each mostly waits for one core; Ctrl+C need not wait for any of them."""
    from zerokit.emulator import nursery

    nursery.expect(len(files))
    pool = ThreadPoolExecutor(len(files))
    try:
        return list(pool.map(lambda file, port: _run(zero, file, port), files, ports))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _environment() -> dict[str, str]:
    """Durations are learned from one demo to the next, apart from those of real apps; a tiny model wants one thread."""
    home = os.environ.get("ZEROKIT_HOME") or str(Path.home() / ".cache" / "zerokit" / "demo")
    return {"ZEROKIT_HOME": home, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}


def _fail(log: str, what: str) -> NoReturn:
    typer.echo(log[-4000:], err=True)
    raise DemoFailed(what)


def _ports(first: int, count: int) -> list[int]:
    """`first`, which must be free, and the next free ones after it."""
    if taken := _why_taken(first):
        other = next(port for port in (*range(first + 1, 65536), *range(first - 1, 0, -1)) if not _why_taken(port))
        raise UsageError(f"Port {first} is in use ({taken}). Choose another: zerokit demo --port {other}")
    free = [first, *islice((port for port in range(first + 1, 65536) if not _why_taken(port)), count - 1)]
    if len(free) < count:
        raise UsageError(f"After port {first} there are not {count - 1} free ones. Choose a smaller: --port 7860")
    return free


def _why_taken(port: int) -> str:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as exc:
            return exc.strerror or "taken"
    return ""


def _welcome(console: Console, zero: ZeroGPU, apps: list[App], visitor: str) -> None:
    me = zero.visitor(visitor)
    runs = "" if me.runs_left is None else f" and {me.runs_left} runs"
    for app in apps:
        console.print(f"\n  [bold]{app.url}[/bold]")
        console.print(f"  As in the Hub's page, with other visitors to choose: {app.page_url}")
    console.print(f"\n  You are a visitor ({visitor}) with {me.left_s:.0f} s of GPU time{runs} for today.")
    console.print(
        "  Ask for something, and see the price before the click and what it took after it; press Stop midway."
    )
    console.print("  Each GPU call shows here. Ctrl+C ends it.\n")


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)
