"""Several ways to do one piece of work in this process, gone through in turn: what each takes, against the first."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from . import report

COLUMNS = ("rounds", "ratio, of rounds", "ratio of CPU seconds")
Ways = Mapping[str, Callable[[], Any]]


@dataclass(frozen=True)
class Took:
    """One time one way was gone."""

    wall_s: float
    cpu_s: float
    """Of this process, all its threads together: a busy machine makes it longer by far less than the other."""


def in_turn(ways: Ways, rounds: int) -> dict[str, list[Took]]:
    """Go all ways in each round, every time beginning with another one.

    Whoever comes next finds the machine as the one before left it. The first round does not count.
    """
    took: dict[str, list[Took]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(rounds + 1):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            once = _once(ways[name])
            if number:
                took[name].append(once)
    return took


def ratios(own: Sequence[Took], others: Sequence[Took]) -> list[str]:
    """`COLUMNS`: one way against another, round by round."""
    pairs = list(zip(own, others, strict=True))
    return [
        str(len(pairs)),
        report.spread([mine.wall_s / other.wall_s for mine, other in pairs]),
        report.spread([mine.cpu_s / max(1e-9, other.cpu_s) for mine, other in pairs]),
    ]


def _once(way: Callable[[], Any]) -> Took:
    _wait_for_card()
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    way()
    _wait_for_card()
    return Took(time.perf_counter() - wall_s, time.process_time() - cpu_s)


def _wait_for_card() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
