"""Seconds and memory from `python app.py` to the first page: ZeroChat and ZeroDiffusion against the same by hand.

A block and the app by hand are started in turn, off ZeroGPU and on a local one. Beside the seconds stand those of the
processor, which say the same on a machine that has other work to do. Memory is the main process's largest resident set
until then. The weights' share of it is what an app with the large model takes more than one with the tiny model, by the
size of the weights as they are computed with: 1.00 is one copy of them.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from parts import image_models, models, report

from zerokit.emulator import ZeroGPU

APPS = {
    "chat": {"ZeroChat": "zerokit_chat.py", "by hand": "handwritten_chat.py"},
    "images": {"ZeroDiffusion": "zerokit_image.py", "by hand": "handwritten_image.py"},
}
FOLDER = Path(__file__).parent / "apps"
PLACES = ("no ZeroGPU", "local ZeroGPU")
PATIENCE_S = 600.0
LOOK_EVERY_S = 0.01


@dataclass(frozen=True)
class Start:
    """One start of an app."""

    seconds: float
    """From the start of the process to the answer of its page."""
    cpu_s: float
    """Of the processor, until then."""
    peak_bytes: int
    """The largest resident set until then, mapped files included."""
    peak_private_bytes: int
    """Without mapped files, which the system can drop at any time."""


class Starter:
    """Starts an app in one place, again and again."""

    def __init__(self, z: ZeroGPU, home: str) -> None:
        self._z = z
        self._env = {"ZEROKIT_HOME": home, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}

    def start(self, place: str, file: str, model: Path, dtype: str) -> Start:
        port = _free_port()
        env = {
            **self._env,
            "BENCHMARK_MODEL": str(model),
            "BENCHMARK_DTYPE": dtype,
            "GRADIO_SERVER_PORT": str(port),
        }
        began_at = time.perf_counter()
        with self._process(place, FOLDER / file, env) as process, _Watch(process.pid) as watch:
            _wait(f"http://127.0.0.1:{port}/", process)
            seconds = time.perf_counter() - began_at
            return Start(seconds, watch.cpu_s(), watch.peak_bytes(), watch.peak_private_bytes)

    @contextmanager
    def _process(self, place: str, file: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        if place == "local ZeroGPU":
            app = self._z.start(file, env=env)
            try:
                yield app.process
            finally:
                app.stop()
            return
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(
                [sys.executable, str(file)], env={**os.environ, **env}, stdout=log, stderr=subprocess.STDOUT
            )
            try:
                yield process
            finally:
                process.terminate()
                process.wait()


class _Watch:
    """Watches one process."""

    def __init__(self, pid: int) -> None:
        self._status, self._stat = Path(f"/proc/{pid}/status"), Path(f"/proc/{pid}/stat")
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.peak_private_bytes = 0

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def cpu_s(self) -> float:
        fields = self._stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_bytes(self) -> int:
        """The kernel's own record of it."""
        return self._read("VmHWM")

    def _look(self) -> None:
        while not self._done.wait(LOOK_EVERY_S):
            self.peak_private_bytes = max(self.peak_private_bytes, self._read("RssAnon"))

    def _read(self, name: str) -> int:
        try:
            lines = self._status.read_text().splitlines()
        except OSError:
            return 0
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)


def main() -> None:
    options = report.arguments(__doc__, *APPS)
    report.machine()
    with tempfile.TemporaryDirectory() as folder, ZeroGPU() as z:
        starter = Starter(z, f"{folder}/home")
        pairs = 2 if options.quick else 10
        if "chat" in options.only:
            tiny = models.make(Path(folder) / "tiny", hidden=64, layers=1)
            _times(starter, "chat", tiny, pairs)
            _memory(starter, Path(folder), tiny, quick=options.quick)
        if "images" in options.only:
            _times(starter, "images", image_models.make(Path(folder) / "images", width=32), pairs)


def _times(starter: Starter, kind: str, model: Path, pairs: int) -> None:
    rows, apps = [], APPS[kind]
    block = next(iter(apps))
    for place in PLACES:
        starts = _in_turn(lambda app, place=place: starter.start(place, apps[app], model, "float32"), list(apps), pairs)
        row = [place, str(pairs)]
        for measure in ("seconds", "cpu_s"):
            mine, other = ([getattr(start, measure) for start in starts[app]] for app in apps)
            ratios = [a / b for a, b in zip(mine, other, strict=True)]
            row += [f"{statistics.median(other):.2f}", f"{statistics.median(mine):.2f}", report.spread(ratios, 2)]
        peaks = {app: statistics.median(start.peak_bytes for start in starts[app]) / 1e6 for app in apps}
        rows.append([*row, f"{peaks['by hand']:.0f}", f"{peaks[block]:.0f}"])
    report.table(
        f"From the start to the first page, tiny model: by hand, then {block}; median (middle half of the pairs)",
        ["place", "pairs", *("by hand, s", f"{block}, s", "ratio", "CPU s", "CPU s", "ratio"), "MB", "MB"],
        rows,
    )


def _in_turn(start: Callable[[str], Start], apps: list[str], pairs: int) -> dict[str, list[Start]]:
    """`pairs` starts of each app; the first pair, which reads all files from disk, does not count."""
    starts: dict[str, list[Start]] = {app: [] for app in apps}
    for number in range(pairs + 1):
        for app in apps if number % 2 else reversed(apps):
            found = start(app)
            if number:
                starts[app].append(found)
    return starts


def _memory(starter: Starter, folder: Path, tiny: Path, *, quick: bool) -> None:
    rows = []
    for stored in ("float32", "float16"):
        dtype = getattr(torch, stored)
        large = models.make(folder / stored, hidden=512 if quick else 1024, layers=8, dtype=dtype)
        # What was stored in half precision is computed in fp32 where there is no card.
        weights = models.weight_bytes(large) * 4 // dtype.itemsize
        for place in PLACES:
            # ZeroChat loads as its default is and converts then; by hand one names the dtype to compute in.
            dtypes = {"ZeroChat": stored, "by hand": "float32"}
            starts = {
                app: [starter.start(place, file, model, dtypes[app]) for model in (large, tiny)]
                for app, file in APPS["chat"].items()
            }
            row = [f"{stored} on disk, {place}", f"{weights / 1e6:.0f}"]
            for app in reversed(starts):
                with_large, with_tiny = starts[app]
                private = (with_large.peak_private_bytes - with_tiny.peak_private_bytes) / weights
                everything = (with_large.peak_bytes - with_tiny.peak_bytes) / weights
                row += [f"{private:.2f}", f"{everything:.2f}"]
            rows.append(row)
    report.table(
        "Copies of the weights in memory, at the peak",
        ["model", "weights, MB", "by hand", "with files", "ZeroChat", "with files"],
        rows,
    )


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    give_up_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at:
        try:
            with opener.open(url, timeout=30) as answer:
                if answer.status == 200:
                    return
        except urllib.error.HTTPError as exc:
            exc.close()
        except OSError:
            pass
        if process.poll() is not None:
            raise SystemExit(f"The app ended with exit code {process.returncode}.")
        time.sleep(0.02)
    raise SystemExit(f"The page did not answer within {PATIENCE_S:g} s.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
