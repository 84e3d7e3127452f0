"""Two apps that do the same work, asked in turn: how long each call holds its GPU, and what its worker computes."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradio_client import Client
from gradio_client.exceptions import AppError

from zerokit.emulator import App, Call, ZeroGPU

from . import report

APPS = Path(__file__).parent.parent / "apps"
PATIENCE_S = 600.0
"""For an app's start."""
COLUMNS = ("pairs", "by hand, s", "ZeroKit, s", "ratio, of pairs", "more, ms", "ratio of CPU seconds")


@dataclass(frozen=True)
class Held:
    """One settled call of an app."""

    call: Call
    cpu_s: float
    """Of the processor, by its worker; in steps of 10 ms. A busy machine makes it longer by far less than the call."""
    made: Any
    """What the endpoint gave."""


class Asked:
    """One app, asked through its API."""

    def __init__(self, z: ZeroGPU, file: str, endpoint: str, env: dict[str, str]) -> None:
        self._z, self._endpoint = z, endpoint
        self.app: App = z.run(APPS / file, env=env, timeout_s=PATIENCE_S)
        self._client = Client(self.app.url, verbose=False, download_files=env.get("BENCHMARK_DOWNLOADS", False))

    def call(self, *args: Any, **kwargs: Any) -> Held | None:
        """Ask once. None: the call failed."""
        self._client.reset_session()  # Gradio's own chat keeps a conversation for each session
        before, cpu_s = len(self._z.calls), self._cpu_s()
        try:
            made: Any = self._client.predict(*args, api_name=self._endpoint, **kwargs)
        except AppError:
            return None
        give_up_at = time.monotonic() + 5
        while len(self._z.calls) == before and time.monotonic() < give_up_at:
            time.sleep(0.005)
        return Held(self._z.calls[-1], self._cpu_s() - cpu_s, made)

    def _cpu_s(self) -> float:
        return sum(_cpu_s(pid) for pid in self._z.workers if _parent(pid) == self.app.process.pid)


Ask = Callable[[int], Held | None]
"""Asks an app for piece of work number so many. None: what came back does not count."""


def row(count: int, ours: Ask, theirs: Ask, same: Callable[[Any, Any], str | None]) -> list[str]:
    """The figures of `count` pairs of warm calls, as `COLUMNS` names them.

    Args:
        count: of pairs.
        ours: asks ZeroKit's app.
        theirs: asks the one by hand.
        same: what is different in what the two made; None: nothing.
    """
    pairs: list[tuple[Held, Held]] = []
    for number in range(count):
        # Whoever goes second finds the machine as the first one left it: so they take turns in going first.
        first, second = (ours, theirs) if number % 2 else (theirs, ours)
        held = {ask: ask(number) for ask in (first, second)}
        mine, other = held[ours], held[theirs]
        if mine is None or other is None:
            continue
        if difference := same(mine.made, other.made):
            raise SystemExit(f"The two did not make the same: {difference}")
        if not mine.call.cold and not other.call.cold:
            pairs.append((mine, other))
    if len(pairs) < count / 2:
        raise SystemExit("Most calls were cold or cut: the machine is too busy to measure on.")
    return _figures([(mine.call.used_s, other.call.used_s) for mine, other in pairs], pairs)


def _figures(used: Sequence[tuple[float, float]], pairs: Sequence[tuple[Held, Held]]) -> list[str]:
    return [
        str(len(pairs)),
        report.spread([theirs for _, theirs in used]),
        report.spread([ours for ours, _ in used]),
        report.spread([ours / theirs for ours, theirs in used]),
        f"{1000 * statistics.median(ours - theirs for ours, theirs in used):.0f}",
        report.spread([ours.cpu_s / max(0.01, theirs.cpu_s) for ours, theirs in pairs]),
    ]


def _cpu_s(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def _parent(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def _stat(pid: int) -> list[str]:
    """The fields of a process after its name; [] where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
