"""From visits to figures: what each plan got, and what a day of it holds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from typing import Any

from ..emulator.records import Call
from ..quota.platform import PLANS, Plan
from ..quota.words import duration
from .run import Measured, Visit

LONGEST_DAY = 10_000
"""Answers; of who gets more no more is said."""
LATER = 2 / 3
"""Of the day's seconds, used already."""


@dataclass(frozen=True)
class Tier:
    """What visitors of one plan got."""

    tier: str
    asked: int
    served: int
    cut: int
    refused: int
    killed: int
    failed: int
    reserved_s: float
    """Median of the calls that were asked for."""
    used_s: float
    """Median of the calls that ran."""
    waited_s: float
    """Mean in the queue."""
    longest_wait_s: float
    gpu_s: float
    """All that was charged."""
    runs: int


@dataclass(frozen=True)
class Day:
    """How many answers a plan's day holds, and what ends it."""

    tier: str
    answers: int
    limit: str
    """runs, seconds, or what one call may reserve; empty: none was reached."""
    used_before_s: int
    answers_later: int
    """After so many seconds were used."""
    limit_later: str

    def sentence(self, plan: Plan) -> str:
        """The same in words."""
        name = plan.name if plan.runs is not None else plan.label
        who = f"{'An' if name[0] in 'aeioAEIO' else 'A'} {name} visitor"
        credits = " before credits are used" if plan.overquota else ""
        if not self.answers:
            return f"{who} gets no answer: the limit is {self.limit}."
        return (
            f"{who} gets {_answers(self.answers)} a day{credits}{_because(self.limit)}, and "
            f"{number(self.answers_later)} after the first {duration(self.used_before_s)} are "
            f"used{_because(self.limit_later)}."
        )


def tiers(measured: Measured) -> list[Tier]:
    """One row for each plan of the load, in its order."""
    return [_tier(name, [v for v in measured.visits if v.tier == name]) for name in measured.load.tiers]


def days(measured: Measured) -> list[Day]:
    """For each plan of the load: its day, filled with the calls that were measured, one after the other.

    Nothing else is assumed: a call is refused that reserves more than is left, and costs what it used. One that was
    killed or failed costs as much, and is no answer.
    """
    ran = [visit for visit in measured.visits if visit.calls and all(c.cold is not None for c in visit.calls)]
    return [_day(PLANS[name], ran) for name in measured.load.tiers] if ran else []


def as_dict(measured: Measured) -> dict[str, Any]:
    """All of it, for `--json`."""
    return {
        "app": measured.app,
        "api": measured.api,
        "load": asdict(measured.load),
        "seconds": round(measured.seconds, 1),
        "tiers": [asdict(tier) for tier in tiers(measured)],
        "days": [{**asdict(day), "sentence": day.sentence(PLANS[day.tier])} for day in days(measured)],
        "calls": [_told(call) for call in calls(measured)],
    }


def calls(measured: Measured) -> list[Call]:
    """All GPU calls, in the order in which they were asked for."""
    return sorted((call for visit in measured.visits for call in visit.calls), key=lambda call: call.n)


def _tier(name: str, visits: Sequence[Visit]) -> Tier:
    asked_for = [call for visit in visits for call in visit.calls]
    ran = [call for call in asked_for if call.cold is not None]
    waits = [call.queued_s for call in asked_for if not call.refused]
    count = {how: sum(visit.how == how for visit in visits) for how in ("served", "cut", "refused", "killed", "failed")}
    return Tier(
        tier=name,
        asked=len(visits),
        **count,
        reserved_s=statistics.median(call.reserved_s for call in asked_for) if asked_for else 0.0,
        used_s=round(statistics.median(call.used_s for call in ran), 2) if ran else 0.0,
        waited_s=round(statistics.mean(waits), 2) if waits else 0.0,
        longest_wait_s=max(waits, default=0.0),
        gpu_s=round(sum(call.charged_s for call in ran), 1),
        runs=len(ran),
    )


def _day(plan: Plan, ran: Sequence[Visit]) -> Day:
    used_before_s = round(LATER * plan.base_s)
    answers, limit = _held(plan, ran, 0.0)
    later, limit_later = _held(plan, ran, used_before_s)
    return Day(plan.name, answers, limit, used_before_s, later, limit_later)


def _held(plan: Plan, ran: Sequence[Visit], used_s: float) -> tuple[int, str]:
    """Answers until the first that is refused, and why."""
    left_s, runs, answers = plan.base_s - used_s, plan.runs, 0
    for visit in islice(cycle(ran), LONGEST_DAY):
        for call in visit.calls:
            if call.reserved_s > plan.cap_s:
                return answers, "what one call may reserve"
            if runs == 0:
                return answers, "runs"
            if call.reserved_s > left_s:
                return answers, "seconds"
            left_s -= call.charged_s
            runs = None if runs is None else runs - 1
        answers += visit.how in ("served", "cut")
    return answers, ""


def _answers(count: int) -> str:
    return "1 answer" if count == 1 else f"{number(count)} answers"


def number(count: int) -> str:
    """So many answers of a day, in words."""
    return f"more than {LONGEST_DAY:,}" if count >= LONGEST_DAY else f"{count:,}"


def _because(limit: str) -> str:
    return f" (the limit is {limit})" if limit else ""


def _told(call: Call) -> Mapping[str, Any]:
    return {name: value for name, value in asdict(call).items() if name != "pids"}
