"""`zerokit dev`: any Gradio app that uses `spaces`, under the local ZeroGPU."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError

if TYPE_CHECKING:
    from ..emulator.app import App
    from ..emulator.local import ZeroGPU
    from ..emulator.records import Call

_DEBUG_LINE = "SPACES_ZERO_GPU_DEBUG"


def dev(
    app: Annotated[Path, typer.Argument(metavar="APP.py", help="The app's file.")],
    args: Annotated[list[str] | None, typer.Argument(metavar="[-- ARGS]", help="The app's own arguments.")] = None,
    visitor: Annotated[
        str,
        typer.Option("--as", metavar="VISITOR", help="Who visits: anonymous, free, pro, team or enterprise."),
    ] = "free",
    gpus: Annotated[int, typer.Option(help="How many calls can run at a time.")] = 1,
    left: Annotated[float | None, typer.Option(metavar="SECONDS", help="GPU seconds the visitor has left.")] = None,
    runs: Annotated[int | None, typer.Option(metavar="N", help="Runs the visitor has left.")] = None,
    speed: Annotated[
        float, typer.Option(metavar="X", help="How fast the day and the queue's patience run; GPU seconds stay real.")
    ] = 1.0,
    strict: Annotated[bool, typer.Option("--strict", help="Find device mix-ups (slower).")] = False,
    signed_out: Annotated[bool, typer.Option("--signed-out", help="Visitors must use the app's login button.")] = False,
    fault: Annotated[
        list[str] | None,
        typer.Option(metavar="WHAT@N", help="Let the N-th call go wrong: oom@2, kill:0.7@3, seconds@1+."),
    ] = None,
    record: Annotated[Path | None, typer.Option(metavar="FILE", help="Write all calls there, as JSON lines.")] = None,
) -> None:
    """Run a Gradio app on a local ZeroGPU, with the real `spaces` package."""
    from ..emulator.local import ZeroGPU

    _check_app(app)
    try:
        emulator = ZeroGPU(
            visitor,
            gpus=gpus,
            left_s=left,
            runs=runs,
            speed=speed,
            strict=strict,
            faults=fault or (),
            record=record,
            signed_in=not signed_out,
            on_call=lambda call: _say(describe(call)),
        )
    except (ValueError, OSError) as exc:
        raise UsageError(str(exc)) from exc
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with emulator as z:
            raise typer.Exit(_serve(z, app, args or (), visitor, gpus))
    except KeyboardInterrupt:
        _say("Stopped.")
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, previous)


def describe(call: Call) -> str:
    """One line about one GPU call."""
    who = f"call {call.n} · {call.visitor}"
    left = f"{call.left_s:g} s left" + ("" if call.runs_left is None else f", {call.runs_left} runs")
    if call.cold is None:
        return f"{who} · reserved {call.reserved_s} s · {call.outcome.replace(':', ': ')} · {left}"
    parts = [who, "cold" if call.cold else "warm", f"reserved {call.reserved_s} s", f"used {call.used_s:.2f} s"]
    if call.queued_s:
        parts.append(f"queued {call.queued_s:.1f} s")
    if call.fault is not None:
        parts.append(f"fault {call.fault}")
    return " · ".join([*parts, call.outcome, left])


def _serve(z: ZeroGPU, path: Path, args: Sequence[str], visitor: str, gpus: int) -> int:
    app = z.start(path, args=args, on_line=_echo)
    threading.Thread(target=_greet, args=(z, app, visitor, gpus), daemon=True).start()
    code = app.process.wait()
    return code if code >= 0 else 128 - code  # as a shell tells of a signal


def _greet(z: ZeroGPU, app: App, visitor: str, gpus: int) -> None:
    from ..quota.platform import GPU_MODEL, size

    try:
        app.wait_ready(float("inf"))
    except RuntimeError:
        return  # the app ended; its own output says why, and its exit code is ours
    left = z.visitor(visitor)
    runs = "" if left.runs_left is None else f" and {left.runs_left} runs"
    kind = f"on {z.cards[0].name}" if z.cards else f"like {GPU_MODEL}"
    cards = f"{gpus} GPU{'s' if gpus > 1 else ''} {kind}"
    factor = f"1 s declared reserves {size('large').reserved_factor:g} s"
    _say(f"The Hub's page: {app.page_url}  (switch visitors there)")
    _say(f"The app itself: {app.url}")
    _say(f"Visitor: {visitor}, {left.left_s:g} s{runs} left · {cards}, {factor}")
    _say("Every GPU call is reported here. Try --as anonymous, --left 20, --fault oom@1, --strict. Ctrl-C ends it.")


def _check_app(path: Path) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a folder. The app is a Python file in it, perhaps {path / 'app.py'}.")
    if not path.exists():
        folder = path.parent
        names = [p.name for p in folder.glob("*.py")] if folder.is_dir() else []
        near = get_close_matches(path.name, names, n=1)
        hint = f" Did you mean {folder / near[0]}?" if near else ""
        raise UsageError(f"There is no file {path}.{hint}")
    if path.suffix != ".py":
        raise UsageError(f"{path} is not a Python file: its name does not end in .py.")


def _echo(line: str) -> None:
    if not line.startswith(_DEBUG_LINE):
        sys.stdout.write(line)
        sys.stdout.flush()


def _say(text: str) -> None:
    typer.echo(f"zerokit: {text}")
    sys.stdout.flush()
