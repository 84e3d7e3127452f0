"""The ways to say how long a call takes: those of the documentation, one tuned by hand, ZeroKit's, and the ideal."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from zerokit.calls.duration import Estimator
from zerokit.calls.function import PLENTY
from zerokit.calls.usage import Usage
from zerokit.emulator.leases import Lease
from zerokit.emulator.records import Call
from zerokit.emulator.visitors import Account
from zerokit.quota import platform

from . import on_paper, pace
from .on_paper import FACTOR, Case, Work
from .simulation import Platform

LAZY = 2.0
"""A model that is loaded in the call comes through the computer's memory instead of streaming onto the card: so many
times as long (an assumption; the bytes pass twice)."""
STREAMED_S = 0.001
"""To send one piece out of the worker while the next one waits (an assumption: pickling, a queue, a thread)."""


class Way(Protocol):
    """How an app reserves, and what its way costs."""

    @property
    def name(self) -> str: ...

    loading: float
    """Times the usual cold start."""
    piece_s: float
    """More for each token or step."""

    def declared_s(self, visit: Any, work: Work, true_s: float, left_s: float | None) -> int | None:
        """Seconds to declare; None: it refuses by itself."""

    def end_s(self, granted_s: float) -> float:
        """When the call ends by itself."""

    def begin(self) -> None:
        """A call is made; `observe` follows when it is over."""

    def observe(self, work: Work, usage: Usage, reply: Any, whole: bool) -> None:
        """Learn from a call."""


class ByHand:
    """A number, or a function of what is asked; nothing is learned, and nothing ends by itself.

    Args:
        name: in the tables.
        declare: seconds for a visit.
        loading: times the usual cold start.
        piece_s: more for each token or step.
    """

    def __init__(
        self, name: str, declare: Callable[[Any], float], *, loading: float = 1.0, piece_s: float = 0.0
    ) -> None:
        self.name, self._declare, self.loading, self.piece_s = name, declare, loading, piece_s

    def declared_s(self, visit: Any, work: Work, true_s: float, left_s: float | None) -> int | None:
        return int(self._declare(visit))

    def end_s(self, granted_s: float) -> float:
        return math.inf

    def begin(self) -> None:
        """Nothing is learned."""

    def observe(self, work: Work, usage: Usage, reply: Any, whole: bool) -> None:
        """Nothing is learned."""


class Ideal(ByHand):
    """Knows each call's true time beforehand."""

    name = "the ideal"

    def __init__(self) -> None:
        super().__init__(self.name, lambda visit: 0.0)

    def declared_s(self, visit: Any, work: Work, true_s: float, left_s: float | None) -> int | None:
        return platform.declared_for(true_s, "large", FACTOR)


class ZeroKit:
    """The estimator of the package; what the visitor has left is used where it is known."""

    name = "ZeroKit"
    loading, piece_s = 1.0, 0.0

    def __init__(self, estimator: Estimator) -> None:
        self._estimator = estimator

    def declared_s(self, visit: Any, work: Work, true_s: float, left_s: float | None) -> int | None:
        estimate = self._estimator.estimate((work.asked,), {}, size="large", factor=FACTOR)
        wanted, least = (max(1, math.ceil(s)) for s in (estimate.declared_s, estimate.least_declared_s))
        if left_s is None:
            return wanted
        fits, plenty = (platform.declared_within(s, "large", FACTOR) for s in (left_s, left_s / PLENTY))
        wanted = max(wanted, min(plenty, math.ceil(estimate.ample_declared_s)))
        return None if fits < min(least, wanted) else min(fits, wanted)

    def end_s(self, granted_s: float) -> float:
        return granted_s - self._estimator.margin_s(granted_s)

    def begin(self) -> None:
        self._estimator.begin()

    def observe(self, work: Work, usage: Usage, reply: Any, whole: bool) -> None:
        self._estimator.observe((work.asked,), {}, usage, reply, whole)


@dataclass(frozen=True)
class Luck:
    """What differs from call to call, however it is reserved."""

    speed: float
    cold_s: float

    @classmethod
    def of(cls, visitor: str, number: int) -> Luck:
        """Of a visitor's call: the same for all ways."""
        chance = random.Random(f"{visitor} {number}")
        return cls(
            speed=math.exp(chance.gauss(0, on_paper.NOISE)), cold_s=pace.LOADING_S * math.exp(chance.gauss(0, 0.1))
        )


@dataclass(frozen=True)
class Space:
    """An app on the platform: its model and visitors, and its way to reserve."""

    case: Case
    way: Way
    app: str = "app"

    def ask(self, zero_gpu: Platform, visit: Any, luck: Luck, account: Account, over: Callable[[Done], None]) -> None:
        """Make one visit's call; `over` is told how it ended."""
        work = self.case.work(visit)
        now = zero_gpu.clock.calendar()
        # Who is not signed in has a day too, but no Space is told what is left of it.
        left_s = None if account.plan.auth is None and not account.plan.overquota else account.left_s(now)
        true_s = self._held(work, luck, cold=not zero_gpu.is_warm(self.app))[0]
        declared_s = self.way.declared_s(visit, work, true_s, left_s)
        if declared_s is None:
            over(Done("refused"))
            return
        made = 0

        def begin(lease: Lease) -> float:
            nonlocal made
            used_s, made = self._held(work, luck, not lease.idle, self.way.end_s(lease.call.granted_s))
            return used_s

        def settle(call: Call) -> None:
            whole = call.outcome == "done" and made == work.wanted
            usage = _usage(call, luck.cold_s if call.cold else on_paper.WARM_S, whole)
            reply = self.case.reply(visit, work, made) if call.outcome == "done" else None
            self.way.observe(work, usage, reply, whole)
            over(Done("whole" if whole else "cut" if call.outcome == "done" else call.outcome.partition(":")[0], call))

        self.way.begin()
        zero_gpu.ask(account, declared_s, begin, settle, self.app)

    def _held(self, work: Work, luck: Luck, cold: bool, end_s: float = math.inf) -> tuple[float, int]:
        """Seconds that a call holds the GPU, and the tokens or steps it makes."""
        start_s = luck.cold_s * self.way.loading if cold else on_paper.WARM_S
        used_s, made = on_paper.lived(work, start_s, luck.speed, end_s)
        return used_s + self.way.piece_s * made, made


def _usage(call: Call, cold_s: float, whole: bool) -> Usage:
    """What the app learns of a call that is over, as it does from a real one."""
    if call.cold is None:
        return Usage(call.declared_s, call.reserved_s, call.granted_s, queued_s=call.queued_s)
    return Usage(
        call.declared_s,
        call.reserved_s,
        call.granted_s,
        used_s=call.used_s,
        cold_s=min(cold_s, call.used_s),
        queued_s=call.queued_s,
        cold=call.cold,
        ran=True,
        began=call.used_s > cold_s,
        overran=not whole,
        lost=call.outcome != "done",
    )


@dataclass(frozen=True)
class Done:
    """How a visit ended."""

    how: str
    """whole, cut, killed, refused, queue-timeout."""
    call: Call | None = None
    """None: the app itself refused."""
