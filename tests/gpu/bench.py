"""What ZeroKit costs on a real card: ZeroChat and ZeroDiffusion beside the same work decorated by hand.

Both apps of a pair run under one local ZeroGPU with the real path of `spaces`, keep a worker each on the same card, and
are asked in turn. Models have random weights and the size of real ones: they are as heavy, and mean nothing.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "benchmarks")]

import torch  # noqa: E402
from parts import image_models, models, report  # noqa: E402
from parts.in_turn import Asked, Held  # noqa: E402
from PIL import Image, ImageChops  # noqa: E402

from zerokit.emulator import ZeroGPU, processes  # noqa: E402
from zerokit.emulator.cards import usable_cards  # noqa: E402

QUESTION = "Tell me about the sea, the wind and the lighthouse, and take your time. " * 4
PROMPT = "a lighthouse at the sea in the evening, waves, clouds, oil on canvas"
SIDE = 512
DEVICE = "cuda"
"""Where the weights are made up: on a CPU that takes minutes."""
COLD_ROUNDS = 2


@dataclass(frozen=True)
class Case:
    """One row: what is asked of both apps, and how much of it one call makes."""

    name: str
    settings: dict[str, Any]
    makes: int
    pairs: int
    warm_up: Sequence[dict[str, Any]] = ()
    """What is asked first: the first reservations are for a card that nobody knows yet."""


CHATS = (
    Case("long, greedy", {"tokens": 128, "temperature": 0.0}, 128, 3, ({"tokens": 16}, {"tokens": 64})),
    Case("short, greedy", {"tokens": 16, "temperature": 0.0}, 16, 5),
    Case("long, sampled", {"tokens": 128, "temperature": 0.7}, 128, 2),
)
PICTURES = (
    Case("one, 20 steps", {"images": 1, "steps": 20}, 1, 4, ({"steps": 1}, {"steps": 10})),
    Case("one, 4 steps", {"images": 1, "steps": 4}, 1, 5),
    Case("four at once, 20 steps", {"images": 4, "steps": 20}, 4, 2),
)


@dataclass(frozen=True)
class Timed:
    """One warm call, with the time from the request to its output."""

    held: Held
    wall_s: float


Ask = Callable[..., Held | None]


class Pair:
    """Two apps that do the same, and what they made that was not the same."""

    def __init__(
        self, z: ZeroGPU, apps: Sequence[Asked], ours: Ask, theirs: Ask, difference: Callable[[Any, Any], str | None]
    ) -> None:
        self.ways = {"ZeroKit": ours, "by hand": theirs}
        self._z, self._apps, self._difference = z, dict(zip(self.ways, apps, strict=True)), difference
        self.same = 0
        self.differences: list[str] = []

    def row(self, case: Case, quick: bool) -> list[str]:
        """The figures of one case, as `_columns` names them."""
        for settings in case.warm_up:
            for name in self.ways:
                self._ask(name, {**case.settings, **settings})
        found: dict[str, list[Timed]] = {name: [] for name in self.ways}
        for number in range(1 + (2 if quick else case.pairs)):  # the first pair does not count
            order = list(reversed(self.ways)) if number % 2 else list(self.ways)
            made = {name: self._ask(name, {**case.settings, "seed": number}) for name in order}
            whole = {name: timed for name, timed in made.items() if timed is not None and not timed.held.call.cold}
            if number and len(whole) == len(made):
                self._compare([whole["ZeroKit"], whole["by hand"]], sampled=bool(case.settings.get("temperature")))
                for name, timed in whole.items():
                    found[name].append(timed)
        if not found["ZeroKit"]:
            raise SystemExit(f"No pair of warm and whole calls: {case.name}.")
        figures = _figures(case, found["by hand"], found["ZeroKit"])
        report.say(f"{time.strftime('%H:%M:%S')} {' | '.join(figures)}")
        return figures

    def _ask(self, name: str, settings: dict[str, Any]) -> Timed | None:
        timed = _timed(self.ways[name], settings)
        if timed is None:
            call = self._z.calls[-1] if self._z.calls else None
            said = [line for line in self._apps[name].app.log().splitlines() if "DEBUG" not in line]
            report.say("\n".join([f"{name}: {settings} was not whole. {call}", *said[-12:]]))
        return timed

    def _compare(self, whole: Sequence[Timed], *, sampled: bool) -> None:
        if sampled:
            return
        difference = self._difference(*(timed.held.made for timed in whole))
        if difference is None:
            self.same += 1
        else:
            self.differences.append(difference)

    def say_what_differed(self) -> None:
        all_of_them = self.same + len(self.differences)
        report.say(f"Made the same by both: {self.same} of {all_of_them}. {'; '.join(self.differences[:3])}")


def main() -> None:
    options = report.arguments(__doc__, "chat", "images")
    cards = usable_cards()
    if not cards:
        raise SystemExit("This needs a CUDA card, its driver and a torch that is built for CUDA: there is none here.")
    report.machine()
    report.say(f"{cards[0].name}, driver {_driver()}, CUDA {torch.version.cuda}")
    if "chat" in options.only:
        _chats(quick=options.quick)
    if "images" in options.only:
        _images(quick=options.quick)


def _chats(*, quick: bool) -> None:
    with tempfile.TemporaryDirectory() as folder, ZeroGPU(visitor="pro", gpus=2) as z:
        with torch.device(DEVICE):
            model = models.make(Path(folder) / "model", hidden=2048, layers=4 if quick else 24)
        torch.cuda.empty_cache()
        ours, theirs = _both(z, folder, model, "chat", "/chat")

        def ask_ours(tokens: int, temperature: float, seed: int = 0) -> Held | None:
            held = ours.call(QUESTION, [], "", tokens, temperature, 0.95, 50, 1.0)
            return None if held is None or held.made["ended"] != "length" else _with(held, held.made["text"].strip())

        def ask_theirs(tokens: int, temperature: float, seed: int = 0) -> Held | None:
            held = theirs.call(QUESTION, "", tokens, temperature, 0.95, 50, 1.0)
            return held and _with(held, held.made.strip())

        pair = Pair(
            z,
            (ours, theirs),
            ask_ours,
            ask_theirs,
            lambda one, two: None if one == two else f"{one[:60]!r}, {two[:60]!r}",
        )
        rows = [pair.row(case, quick) for case in CHATS]
        report.table(f"Chats, {_size(model)} in fp16, warm calls: median (middle half)", _columns("tokens/s"), rows)
        pair.say_what_differed()
        _cold(z, pair, {"tokens": 1, "temperature": 0.0}, model, quick=quick)


def _images(*, quick: bool) -> None:
    with tempfile.TemporaryDirectory() as folder, ZeroGPU(visitor="pro", gpus=2) as z:
        with torch.device(DEVICE):
            model = image_models.make_large(Path(folder) / "model")
        torch.cuda.empty_cache()
        ours, theirs = _both(z, folder, model, "image", "/generate")

        def ask_ours(images: int, steps: int, seed: int = 0) -> Held | None:
            held = ours.call(**_asked(images, steps, seed))
            if held is None or held.made[1]["ended"] != "complete":
                return None
            return _with(held, [file["image"] for file in held.made[0]])

        def ask_theirs(images: int, steps: int, seed: int = 0) -> Held | None:
            held = theirs.call(**_asked(images, steps, seed))
            return held and _with(held, [file["image"] for file in held.made])

        pair = Pair(z, (ours, theirs), ask_ours, ask_theirs, _difference)
        rows = [pair.row(case, quick) for case in PICTURES]
        title = f"Pictures of {SIDE}x{SIDE}, {_size(model)} in fp16, warm calls: median (middle half)"
        report.table(title, _columns("pictures/s"), rows)
        pair.say_what_differed()
        _cold(z, pair, {"images": 1, "steps": 1}, model, quick=quick)


def _both(z: ZeroGPU, folder: str, model: Path, kind: str, endpoint: str) -> list[Asked]:
    env = {
        "BENCHMARK_MODEL": str(model),
        "BENCHMARK_DTYPE": "float16",
        "BENCHMARK_DOWNLOADS": f"{folder}/downloads",
        "GRADIO_TEMP_DIR": f"{folder}/gradio",
        "ZEROKIT_HOME": f"{folder}/home",
    }
    files = (f"zerokit_{kind}.py", f"handwritten_{kind}.py")
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda file: Asked(z, file, endpoint, env), files))


def _timed(ask: Ask, settings: dict[str, Any]) -> Timed | None:
    began = time.perf_counter()
    held = ask(**settings)
    return None if held is None else Timed(held, time.perf_counter() - began)


def _columns(rate: str) -> list[str]:
    return [
        "calls", "pairs", "by hand, s held", "ZeroKit, s held", "ratio, of pairs",
        f"by hand, {rate}", f"ZeroKit, {rate}", "by hand, s to output", "ZeroKit, s to output",
        "by hand, s reserved", "ZeroKit, s reserved",
    ]  # fmt: skip


def _figures(case: Case, theirs: Sequence[Timed], ours: Sequence[Timed]) -> list[str]:
    ratios = [one.held.call.used_s / two.held.call.used_s for one, two in zip(ours, theirs, strict=True)]
    return [
        case.name,
        str(len(ours)),
        *(report.spread([timed.held.call.used_s for timed in way]) for way in (theirs, ours)),
        report.spread(ratios),
        *(f"{statistics.median(case.makes / t.held.call.used_s for t in way):.3g}" for way in (theirs, ours)),
        *(f"{statistics.median(t.wall_s for t in way):.2f}" for way in (theirs, ours)),
        *(f"{statistics.median(t.held.call.reserved_s for t in way):g}" for way in (theirs, ours)),
    ]


def _cold(z: ZeroGPU, pair: Pair, settings: dict[str, Any], model: Path, *, quick: bool) -> None:
    """Calls that make next to nothing, by workers that have to load first."""
    size = _bytes(model)
    rows = []
    for name, ask in pair.ways.items():
        found: list[Timed] = []
        wanted = 1 if quick else COLD_ROUNDS
        for _ in range(3 * wanted):  # a call that was thought to be warm may be cut
            if len(found) == wanted:
                break
            _end_workers(z)
            timed = _timed(ask, settings)
            if timed is not None and timed.held.call.cold:
                found.append(timed)
        warm = [timed for timed in (_timed(ask, settings) for _ in range(3)) if timed is not None]
        if not found or not warm:
            raise SystemExit(f"{name}: no cold call was whole.")
        cold_s = statistics.median(timed.held.call.used_s for timed in found)
        warm_s = statistics.median(timed.held.call.used_s for timed in warm)
        held = " ".join(f"{timed.held.call.used_s:.2f}" for timed in found)
        rows.append([name, held, f"{warm_s:.2f}", f"{cold_s - warm_s:.2f}", f"{size / 1e9 / (cold_s - warm_s):.2f}"])
    columns = ["app", "cold, s held", "warm, s held", "to load, s", "GB/s"]
    report.table(f"Cold starts, {_size(model)} from the disk", columns, rows)


def _end_workers(z: ZeroGPU) -> None:
    """As when other Spaces took the cards."""
    pids = z.workers
    for pid in pids:
        processes.kill(pid)
    while not all(processes.gone(pid) for pid in pids):
        time.sleep(0.02)


def _asked(images: int, steps: int, seed: int) -> dict[str, Any]:
    return {
        "prompt": PROMPT,
        "negative_prompt": "blurred",
        "width": SIDE,
        "height": SIDE,
        "images": images,
        "steps": steps,
        "guidance": 7.5,
        "seed": 100 * seed,
    }


def _difference(mine: Sequence[str], other: Sequence[str]) -> str | None:
    """How far two rows of pictures are apart."""
    most = 0
    for files in zip(mine, other, strict=True):
        one, two = (Image.open(file).convert("RGB") for file in files)
        if one.size != two.size:
            return f"{one.size} and {two.size}"
        most = max(most, *(high for _, high in ImageChops.difference(one, two).getextrema()))
    return f"up to {most} of 255" if most else None


def _with(held: Held, made: Any) -> Held:
    return Held(held.call, held.cpu_s, made)


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors"))


def _size(folder: Path) -> str:
    return f"{_bytes(folder) / 1e9:.2f} GB of weights"


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ).stdout.strip()


if __name__ == "__main__":
    main()
