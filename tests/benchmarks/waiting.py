"""50 visitors on two GPUs: how long they wait, and who is refused, when everybody reserves in the same way.

The platform is the emulator's scheduler with a clock that is moved by hand, as in `day.py`; so are visits, luck and
paces. Visitors of all plans come to one Space, ask, read, and ask again; for one whose day is over another one comes.
Waiting visitors are served by plan, then by what they reserve, shorter first; who waited a minute gives up.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

from day import KINDS, Kind, ways
from parts import report
from parts.on_paper import hand_clock
from parts.reserving import Done, Luck, Space, Way
from parts.simulation import Platform

CARDS = 2
VISITORS = {"anonymous": 10, "free": 25, "pro": 15}
HOURS = 1.0
READING_S = {"short chat": 55.0, "long chat": 440.0, "image": 145.0, "adapter change": 185.0}
"""Between an answer and the next question, on average: so that the GPUs are busy for most of the time."""
BEFORE = 100
SEED = 11
HOWS = ("whole", "cut", "killed", "refused", "queue-timeout")
COLUMNS = (
    "who reserves", "asked", "whole", "cut", "killed", "refused", "gave up", "wait, s", "median", "95th", "GPUs busy",
)  # fmt: skip


@dataclass
class Heard:
    """What became of the visits to one Space."""

    waits_s: list[float] = field(default_factory=list)
    """Of those who got a GPU or gave up."""
    ended: dict[str, int] = field(default_factory=dict)
    gpu_s: float = 0.0

    def add(self, done: Done) -> None:
        self.ended[done.how] = self.ended.get(done.how, 0) + 1
        if done.call is not None and done.how != "refused":
            self.waits_s.append(done.call.queued_s)
            self.gpu_s += done.call.used_s

    def cells(self) -> list[str]:
        """As `COLUMNS` names them, between the first and the last."""
        counts = [sum(self.ended.values()), *(self.ended.get(how, 0) for how in HOWS)]
        middle, high = (report.quantile(self.waits_s, share) for share in (0.5, 0.95))
        return [*map(str, counts), f"{statistics.mean(self.waits_s):.1f}", f"{middle:.1f}", f"{high:.1f}"]


class Crowd:
    """Visitors who ask, read and ask again until the time is over."""

    def __init__(self, zero_gpu: Platform, spaces: Sequence[Space], kind: Kind, name: str, hours: float) -> None:
        begins_s = zero_gpu.time.now
        self._zero_gpu, self._reading_s, self._end_s = zero_gpu, READING_S[name], begins_s + 3600 * hours
        self.heard = {space.way.name: Heard() for space in spaces}
        names = [f"{plan}:v{number}" for plan, many in VISITORS.items() for number in range(many)]
        planned = list(kind.case.visits(SEED, 2_000))
        for number, visitor in enumerate(names):
            chance = random.Random(f"{SEED} {visitor}")
            asks = islice(cycle(planned), 40 * number, None)
            space = spaces[number % len(spaces)]
            zero_gpu.at(begins_s + chance.uniform(0, self._reading_s), self._comer(space, visitor, asks, chance))

    def _comer(
        self, space: Space, visitor: str, asks: Iterator[Any], chance: random.Random, day: int = 0
    ) -> Callable[[], None]:
        """Who comes once, and again when the answer is read; who was refused goes, and another one comes."""

        def come() -> None:
            visit = next(asks)
            account = self._zero_gpu.account(f"{visitor}-{day}")
            space.ask(self._zero_gpu, visit, Luck.of(visitor, visit.number), account, over)

        def over(done: Done) -> None:
            self.heard[space.way.name].add(done)
            back_s = self._zero_gpu.time.now + chance.expovariate(1 / self._reading_s)
            if back_s < self._end_s:
                next_one = self._comer(space, visitor, asks, chance, day + 1) if done.how == "refused" else come
                self._zero_gpu.at(back_s, next_one)

        return come


def main() -> None:
    options = report.arguments(__doc__, *KINDS)
    report.machine()
    hours = HOURS / 4 if options.quick else HOURS
    for name in options.only:
        _, zerokit, default, lazy, _, tuned = ways(KINDS[name])
        rows = [_row(name, [way], hours)[0] for way in (zerokit, default, lazy, tuned)]
        _, zerokit, default, *_ = ways(KINDS[name])  # one that has learned nothing yet
        rows += [["beside each other: " + row[0], *row[1:]] for row in _row(name, [zerokit, default], hours)]
        report.table(f"{name}: {sum(VISITORS.values())} visitors on {CARDS} GPUs", COLUMNS, rows)


def _row(name: str, together: Sequence[Way], hours: float) -> list[list[str]]:
    """What was heard of each of these ways, on one node together."""
    spaces = [Space(KINDS[name].case, way, f"app{number}") for number, way in enumerate(together)]
    heard = watch(name, spaces, hours)
    busy = sum(one.gpu_s for one in heard.values()) / (CARDS * 3600 * hours)
    return [[way, *one.cells(), f"{busy:.2f}"] for way, one in heard.items()]


def watch(name: str, spaces: Sequence[Space], hours: float) -> Mapping[str, Heard]:
    """Let those hours pass, after a hundred calls at each Space from which it has learned."""
    with hand_clock() as time:
        zero_gpu = Platform(time, CARDS)
        for space in spaces:
            for visit in KINDS[name].case.visits(SEED + 1, BEFORE):
                luck = Luck.of("before", visit.number)
                space.ask(zero_gpu, visit, luck, zero_gpu.account(f"enterprise:b{visit.number}"), lambda done: None)
                zero_gpu.run()
        crowd = Crowd(zero_gpu, spaces, KINDS[name], name, hours)
        zero_gpu.run()
    return crowd.heard


if __name__ == "__main__":
    main()
