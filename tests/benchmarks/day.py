"""A visitor's day: how many whole answers, for each plan and kind of work, before the first refusal.

The platform is the emulator's scheduler with a clock that is moved by hand (`parts/simulation.py`), the calls are those
of `parts/on_paper.py`: the paces are of `parts/pace.py`, the visits made up from a seed. Each way to reserve gets the
same visits with the same luck. ZeroKit has learned from a hundred calls of others before, as a Space has after its
first afternoon; the ideal knows each call's true time beforehand and reserves just that.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from parts import image_visits, report, visits
from parts.on_paper import Chats, Pictures, Work, hand_clock
from parts.reserving import LAZY, STREAMED_S, ByHand, Done, Ideal, Luck, Space, Way, ZeroKit
from parts.simulation import Platform

sys.path.append(str(Path(__file__).parent / "alternatives"))
from durations import adapter_s, chat_s, image_s

BEFORE = 100
"""Calls that others made."""
DAYS = {"anonymous": 100, "free": 60, "pro": 2, "enterprise": 1}
"""Of a Team member a day is as long as with PRO."""
SEED = 7
PLENTY = 5_000
"""Visits that a Space is asked for, one after the other and then again from the first."""
LULL_S = 300.0


@dataclass(frozen=True)
class Adapters(Pictures):
    """Each picture with another adapter, which is read in the call; it makes each step a quarter longer."""

    READ_S = 0.5

    def work(self, visit: image_visits.Visit) -> Work:
        work = super().work(visit)
        work.asked.active_adapters, work.asked.to_load = 1, 2
        return replace(work, before_s=work.before_s + self.READ_S, each_s=1.25 * work.each_s)


@dataclass(frozen=True)
class Kind:
    """A kind of work, and its duration function tuned by hand."""

    case: Any
    by_hand_s: Callable[[Any], float]


def _chat_s(visit: visits.Visit) -> float:
    return chat_s(visit.question, max_new_tokens=visit.max_new_tokens)


def _image_s(visit: image_visits.Visit) -> float:
    return image_s("", visit.width, visit.height, visit.steps, visit.images, visit.guidance)


def _adapter_s(visit: image_visits.Visit) -> float:
    return adapter_s("", "", visit.width, visit.height, visit.steps, visit.images, visit.guidance)


KINDS = {
    "short chat": Kind(Chats("short chat", visits.Habits(talk=0.3)), _chat_s),
    "long chat": Kind(Chats("long chat", visits.Habits(talk=2.0, limits=(1024, 2048))), _chat_s),
    "image": Kind(Pictures("image"), _image_s),
    "adapter change": Kind(Adapters("adapter change"), _adapter_s),
}


def ways(kind: Kind) -> list[Way]:
    """All ways to reserve for that kind of work; the ideal comes first."""
    return [
        Ideal(),
        ZeroKit(kind.case.estimator()),
        ByHand("(a) default 60 s", lambda visit: 60),
        ByHand("(b) static 120 s, lazy", lambda visit: 120, loading=LAZY),
        ByHand("(c) 60 s, streaming", lambda visit: 60, piece_s=STREAMED_S),
        ByHand("(d) tuned by hand", kind.by_hand_s),
    ]


@dataclass
class Days:
    """Days of visitors of one plan, added up."""

    whole: int = 0
    cut: int = 0
    killed: int = 0

    @property
    def calls(self) -> int:
        return self.whole + self.cut + self.killed


def main() -> None:
    options = report.arguments(__doc__, *KINDS)
    report.machine()
    days = {plan: max(1, number // 10) if options.quick else number for plan, number in DAYS.items()}
    for name in options.only:
        _print(name, {way.name: live(KINDS[name], way, days) for way in ways(KINDS[name])}, days)


def live(kind: Kind, way: Way, days: Mapping[str, int]) -> dict[str, Days]:
    """Let a hundred calls and then all those days pass at one Space, one visitor after the other."""
    planned = list(kind.case.visits(SEED, PLENTY))
    lived: dict[str, Days] = {}
    with hand_clock() as time:
        zero_gpu, space = Platform(time), Space(kind.case, way)
        for visit in planned[:BEFORE]:
            _visit(zero_gpu, space, visit, f"enterprise:before{visit.number}")
        for plan, number in days.items():
            lived[plan] = Days()
            for day in range(number):
                # Not where the day before ended: every way is asked the same.
                first = BEFORE + day * PLENTY // number
                _day(zero_gpu, space, islice(cycle(planned), first, None), f"{plan}:day{day}", lived[plan])
    return lived


def _day(zero_gpu: Platform, space: Space, planned: Iterable[Any], visitor: str, days: Days) -> None:
    for visit in planned:
        how = _visit(zero_gpu, space, visit, visitor).how
        if how not in ("whole", "cut", "killed"):
            return
        setattr(days, how, getattr(days, how) + 1)


def _visit(zero_gpu: Platform, space: Space, visit: Any, visitor: str) -> Done:
    """One visit, and the time before it."""
    zero_gpu.time.now += 10 * visit.pause_s
    if visit.after_lull:
        zero_gpu.time.now += LULL_S
        zero_gpu.scheduler.forget(space.app)
    done: list[Done] = []
    space.ask(zero_gpu, visit, Luck.of(visitor, visit.number), zero_gpu.account(visitor), done.append)
    zero_gpu.run()
    return done[0]


def _print(name: str, lived: Mapping[str, Mapping[str, Days]], days: Mapping[str, int]) -> None:
    ideal = lived[Ideal.name]
    rows = []
    for way, plans in lived.items():
        cells = [f"{of.whole / days[plan]:.1f} ({of.whole / ideal[plan].whole:.2f})" for plan, of in plans.items()]
        calls = max(1, sum(of.calls for of in plans.values()))
        cut, killed = (sum(getattr(of, how) for of in plans.values()) for how in ("cut", "killed"))
        rows.append([way, *cells, f"{100 * cut / calls:.1f}", f"{100 * killed / calls:.1f}"])
    report.table(
        f"{name}: whole answers a day (of the ideal's)",
        ["way to reserve", *(f"{plan}, {days[plan]} days" for plan in days), "cut of 100", "killed of 100"],
        rows,
    )


if __name__ == "__main__":
    main()
