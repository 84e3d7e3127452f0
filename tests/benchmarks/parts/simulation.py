"""The emulator's own scheduler, accounts and rules with a clock that is moved by hand: a day passes in milliseconds.

No app, no worker and no second is real here. What is real is who is refused, who waits, what is charged and what stays
warm: that is `zerokit.emulator.scheduler`, the other side of every call under `zerokit dev`.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

from zerokit.emulator.clock import Clock
from zerokit.emulator.leases import Ask, Lease, Refusal, Ticket
from zerokit.emulator.records import Call, Recording
from zerokit.emulator.scheduler import Scheduler
from zerokit.emulator.visitors import Account, Visitors
from zerokit.quota import platform

Begin = Callable[[Lease], float]
"""A GPU is there: seconds that the call holds it if nobody ends it."""
Over = Callable[[Call], None]
"""A call is over, or refused."""


class Platform:
    """A ZeroGPU whose seconds pass when `run` says so.

    Args:
        time: its `now` is the time, in seconds.
        cards: how many calls can run at a time.
    """

    def __init__(self, time: SimpleNamespace, cards: int = 1) -> None:
        self.time = time
        self.recording = Recording()
        self._workers: set[int] = set()
        self._numbers = itertools.count(1)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._waiting: list[tuple[Ticket, Begin, Over]] = []
        self._visitors = Visitors()
        self.clock = Clock(calendar=lambda: 0.0, real=lambda: time.now)
        self.scheduler = Scheduler(
            clock=self.clock,
            recording=self.recording,
            uuids=[f"GPU-{number}" for number in range(cards)],
            kill=self._workers.discard,
            alive=self._workers.__contains__,
        )

    def account(self, name: str) -> Account:
        """The account of a visitor, who buys no credits: the day's own seconds are what is compared."""
        account = self._visitors.account(name)
        account.plan = replace(account.plan, overquota=False)
        return account

    def at(self, seconds: float, happens: Callable[[], None]) -> None:
        """Let something happen at that time."""
        heapq.heappush(self._events, (seconds, next(self._numbers), happens))

    def run(self, until: float = math.inf) -> None:
        """Let everything happen until then, or until nothing is left to happen."""
        while self._events and self._events[0][0] <= until:
            self.time.now, _, happens = heapq.heappop(self._events)
            happens()
            self._serve()

    def ask(self, account: Account, declared_s: float, begin: Begin, over: Over, app: str) -> None:
        """Make a call that declares so many seconds, as `spaces` sends it."""
        found = self.scheduler.schedule(Ask(app, 1, account, platform.granted_s(declared_s), "large"))
        if isinstance(found, Refusal):
            over(self.recording.calls[-1])
        elif isinstance(found, Lease):
            self._start(found, begin, over)
        else:
            self._waiting.append((found, begin, over))
            self.at(self.time.now + platform.QUEUE_TIMEOUT_S, lambda: None)  # the scheduler looks at who gave up

    def is_warm(self, app: str) -> bool:
        """Whether a worker of that app waits on a GPU."""
        return any(gpu.resident == (app, 1) and gpu.lease is None for gpu in self.scheduler.gpus)

    def _serve(self) -> None:
        self.scheduler.tick()
        for waiting in list(self._waiting):
            ticket, begin, over = waiting
            if ticket.lease is not None or ticket.failed:
                self._waiting.remove(waiting)
            if ticket.lease is not None:
                self._start(ticket.lease, begin, over)
            elif ticket.failed:
                over(next(call for call in reversed(self.recording.calls) if call.n == ticket.call.n))

    def _start(self, lease: Lease, begin: Begin, over: Over) -> None:
        if not lease.idle:
            pid = next(self._numbers)
            self._workers.add(pid)
            self.scheduler.allow(lease.token, pid)
        ends_at = self.time.now + begin(lease)

        def end() -> None:
            if ends_at >= lease.kill_at:
                self.scheduler.tick()
            else:
                self.scheduler.release(lease.token, fail=False)
            over(self.recording.calls[-1])

        self.at(min(ends_at, lease.kill_at), end)
