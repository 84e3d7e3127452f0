"""The scheduler: who gets a GPU, for how long, at what price. No network, no thread and no clock of its own.

Sources: the wire and its meanings are those of `spaces` 0.51.3 (zero/client.py, zero/api.py, zero/wrappers.py); ranks
of the queue, the window and what is compared are the Hub's documentation. Inferred, for nobody publishes it:
reservations that run count against what is left for the next; a failed call costs its run; a worker whose call
failed is not warm (the `spaces` client does not use it again).
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ..quota.platform import QUEUE_TIMEOUT_S, WINDOW_S, size
from .clock import Clock
from .faults import QUEUEING, REFUSALS, WORKER, Fault
from .leases import Ask, Gpu, Lease, QueuingReason, Refusal, Ticket
from .records import Call, Recording
from .visitors import Account

KILL_GRACE_S = 0.5
# Before a Space's name in the cgroup path that the emulator gives its apps.
CGROUPS = "/zerokit/"
# A dead worker whose app has not reported it after so long is written off.
LOST_AFTER_S = 3.0


@dataclass
class Scheduler:
    """GPUs, leases and the queue. Call `tick` often; every method may come from any thread.

    Args:
        clock: calendar and real time.
        recording: where every settled call goes.
        uuids: one for each GPU.
        kill: ends a process at once.
        alive: whether a process runs.
        concurrency: GPUs that one Space may hold at a time; None: all.
        on_settled: told of every settled call.
    """

    clock: Clock
    recording: Recording
    uuids: Sequence[str]
    kill: Callable[[int], None]
    alive: Callable[[int], bool]
    concurrency: int | None = None
    on_settled: Callable[[Call], None] | None = None
    faults: tuple[Fault, ...] = ()
    gpus: list[Gpu] = field(init=False)
    queue: list[Ticket] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._leases: dict[str, Lease] = {}
        self._count = 0
        self._fault_count = 0
        self.gpus = [Gpu(index, uuid) for index, uuid in enumerate(self.uuids)]

    @property
    def leases(self) -> list[Lease]:
        with self._lock:
            return list(self._leases.values())

    @property
    def workers(self) -> list[int]:
        """Process ids of the workers that are alive, busy or warm."""
        with self._lock:
            pids = {gpu.pid for gpu in self.gpus} | {lease.pid for lease in self._leases.values()}
        return sorted(pid for pid in pids if pid is not None and self.alive(pid))

    def set_faults(self, faults: tuple[Fault, ...]) -> None:
        """Exchange the faults; N counts from here."""
        with self._lock:
            self.faults, self._fault_count = faults, 0

    # The wire's three verbs.

    def schedule(self, ask: Ask) -> Refusal | Lease | Ticket:
        """Refuse, hand out a GPU, or give a place in the queue."""
        with self._lock:
            self._count += 1
            self._fault_count += 1
            hits = [fault for fault in self.faults if fault.hits(self._fault_count)]
            scheduler_fault = next((f for f in hits if f.kind in REFUSALS or f.kind in QUEUEING), None)
            worker_fault = next((f for f in hits if f.kind in WORKER), None)
            call = self._open(ask, scheduler_fault or worker_fault)
            if refusal := _forced(ask, scheduler_fault, self.clock) or self._refusal(ask, call):
                self._settle(call, f"refused:{refusal.why}", ask.account)
                return refusal
            if scheduler_fault is None and not self._ahead_of(ask):
                gpu = self._free_gpu(ask)
                if gpu is not None:
                    return self._grant(ask, call, gpu, worker_fault)
            return self._enqueue(ask, call, scheduler_fault, worker_fault)

    def allow(self, token: str, pid: int) -> bool:
        """A worker says which process it is; False: that lease is over."""
        with self._lock:
            lease = self._leases.get(token)
            if lease is None:
                return False
            lease.pid = lease.gpu.pid = pid
            lease.call = replace(lease.call, pids=(*lease.call.pids, pid))
            return True

    def begin(self, lease: Lease) -> None:
        """The lease's GPU is empty now: its seconds count from here."""
        with self._lock:
            lease.gpu.leaving = None
            late_s = self.clock.real() - lease.granted_at
            lease.granted_at, lease.kill_at = lease.granted_at + late_s, lease.kill_at + late_s

    def release(self, token: str, fail: bool) -> Literal["released", "unused", "unknown"]:
        """A call is over."""
        with self._lock:
            lease = self._leases.get(token)
            if lease is None:
                return "unknown"
            if lease.pid is None:
                self._close(lease, "unused")
                return "unused"
            self._close(lease, "failed" if fail else "done", keep_warm=not fail)
            return "released"

    def withdraw(self, ticket: Ticket, outcome: str = "withdrawn") -> None:
        """Leave the queue; a GPU that was just given goes back."""
        with self._lock:
            if ticket in self.queue:
                self.queue.remove(ticket)
                self._settle(self._waited(ticket), outcome, ticket.ask.account)
            elif ticket.lease is not None and ticket.lease.token in self._leases:
                self._close(ticket.lease, outcome, keep_warm=ticket.lease.idle)

    # Time and death.

    def tick(self) -> None:
        """Kill what outlived its reservation, write off the dead, end waits, hand out what is free."""
        with self._lock:
            now = self.clock.real()
            for lease in self.leases:
                if now >= lease.kill_at:
                    self._close(lease, "killed")
                elif lease.pid is not None and not self.alive(lease.pid):
                    lease.dead_since = now if lease.dead_since is None else lease.dead_since
                    if now - lease.dead_since >= LOST_AFTER_S:
                        self._close(lease, "lost")
            for ticket in sorted(self.queue, key=self._rank):
                if self.clock.calendar() >= ticket.give_up_at or _cut_short(ticket, now):
                    self.queue.remove(ticket)
                    ticket.failed = True
                    self._settle(self._waited(ticket), "queue-timeout", ticket.ask.account)
                elif now >= ticket.not_before and (gpu := self._free_gpu(ticket.ask)) is not None:
                    self.queue.remove(ticket)
                    call = self._waited(ticket)
                    ticket.lease = self._grant(ticket.ask, call, gpu, ticket.worker_fault)

    def forget(self, app: str) -> None:
        """An app is gone: its leases, its places in the queue and its warm workers go too."""
        with self._lock:
            for lease in self.leases:
                if lease.ask.app == app:
                    self._close(lease, "lost")
            for ticket in [t for t in self.queue if t.ask.app == app]:
                self.withdraw(ticket)
            for gpu in self.gpus:
                if gpu.resident is not None and gpu.resident[0] == app:
                    self._evict(gpu)

    # Inside.

    def _open(self, ask: Ask, fault: Fault | None) -> Call:
        shares = size(ask.size)
        return Call(
            n=self._count,
            app=ask.app.removeprefix(CGROUPS),
            task=ask.task,
            visitor=ask.account.name,
            size=ask.size,
            sent_s=ask.sent_s,
            declared_s=round(ask.sent_s / shares.granted_factor),
            reserved_s=round(ask.sent_s * shares.reserved_factor / shares.granted_factor),
            granted_s=ask.sent_s,
            fault=None if fault is None else str(fault),
        )

    def _refusal(self, ask: Ask, call: Call) -> Refusal | None:
        account, now = ask.account, self.clock.calendar()
        left_s = int(account.left_s(now))
        if call.reserved_s > account.plan.cap_s:
            return Refusal("cap", left_s, -1)
        if account.runs_left(now) == 0:
            return Refusal("runs", left_s, 0)
        if not account.plan.overquota and call.reserved_s > account.left_s(now) - account.pending_s:
            return Refusal("seconds", max(0, left_s - account.pending_s), _wait(account, now))
        return None

    def _ahead_of(self, ask: Ask) -> bool:
        """Whether somebody in the queue, who could be served, ranks before this call."""
        mine = (-ask.account.plan.priority, ask.sent_s)
        now = self.clock.real()
        return any(
            now >= ticket.not_before and self._rank(ticket)[:2] <= mine and self._free_gpu(ticket.ask) is not None
            for ticket in self.queue
        )

    def _rank(self, ticket: Ticket) -> tuple[float, float, float, int]:
        account = ticket.ask.account
        left_s = account.left_s(self.clock.calendar())
        return (-account.plan.priority, ticket.ask.sent_s, -left_s, ticket.call.n)

    def _free_gpu(self, ask: Ask) -> Gpu | None:
        """A free GPU: where the task is warm, else an empty one, else the one that was idle longest."""
        if self._reason(ask) == "concurrency":
            return None
        free = [gpu for gpu in self.gpus if gpu.lease is None]
        key = (ask.app, ask.task)
        return min(
            free,
            key=lambda gpu: (not self._is_warm(gpu, key), gpu.resident is not None, gpu.used_at, gpu.index),
            default=None,
        )

    def _reason(self, ask: Ask) -> QueuingReason:
        held = sum(lease.ask.app == ask.app for lease in self._leases.values())
        return "concurrency" if self.concurrency is not None and held >= self.concurrency else "node"

    def _is_warm(self, gpu: Gpu, key: tuple[str, int]) -> bool:
        return gpu.resident == key and gpu.pid is not None and self.alive(gpu.pid)

    def _grant(self, ask: Ask, call: Call, gpu: Gpu, worker_fault: Fault | None) -> Lease:
        key = (ask.app, ask.task)
        warm = self._is_warm(gpu, key)
        if not warm:
            self._evict(gpu)
        now = self.clock.real()
        pids = (gpu.pid,) if warm and gpu.pid is not None else ()
        lease = Lease(
            token=secrets.token_urlsafe(18),
            ask=ask,
            call=replace(call, cold=not warm, gpu=gpu.index, pids=pids),
            gpu=gpu,
            idle=warm,
            granted_at=now,
            kill_at=now + call.granted_s + KILL_GRACE_S,
            pid=gpu.pid if warm else None,
            worker_fault=worker_fault,
        )
        gpu.lease, gpu.resident = lease, key
        self._leases[lease.token] = lease
        ask.account.touch(self.clock.calendar())
        ask.account.runs_used += 1
        ask.account.pending_s += call.reserved_s
        return lease

    def _enqueue(self, ask: Ask, call: Call, fault: Fault | None, worker_fault: Fault | None) -> Ticket:
        now = self.clock.real()
        held_back = fault.seconds if fault is not None and fault.kind == "queue" else 0.0
        never = fault is not None and fault.kind in ("queue-timeout", "cut-queue")
        ticket = Ticket(
            ask=ask,
            call=call,
            queued_at=now,
            give_up_at=self.clock.calendar() + QUEUE_TIMEOUT_S,
            not_before=float("inf") if never else now + held_back,
            reason=self._reason(ask),
            fault=fault,
            worker_fault=worker_fault,
        )
        self.queue.append(ticket)
        return ticket

    def _waited(self, ticket: Ticket) -> Call:
        return replace(ticket.call, queued_s=round(self.clock.real() - ticket.queued_at, 2))

    def _close(self, lease: Lease, outcome: str, *, keep_warm: bool = False) -> None:
        del self._leases[lease.token]
        lease.gpu.lease, lease.gpu.used_at = None, self.clock.real()
        account = lease.ask.account
        account.pending_s -= lease.call.reserved_s
        used_s = lease.gpu.used_at - lease.granted_at
        per_second = 2 if lease.ask.size == "xlarge" else 1
        charged_s = round(used_s * per_second, 1)
        account.charge(charged_s, self.clock.calendar())
        if not keep_warm:
            self._evict(lease.gpu)
        self._settle(replace(lease.call, used_s=round(used_s, 3), charged_s=charged_s), outcome, account)

    def _evict(self, gpu: Gpu) -> None:
        pid, gpu.pid, gpu.resident = gpu.pid, None, None
        gpu.leaving = pid if pid is not None else gpu.leaving
        if pid is not None and self.alive(pid):
            self.kill(pid)

    def _settle(self, call: Call, outcome: str, account: Account) -> None:
        now = self.clock.calendar()
        left_s, runs_left = round(account.left_s(now), 1), account.runs_left(now)
        settled = replace(call, outcome=outcome, left_s=left_s, runs_left=runs_left)
        self.recording.call(settled)
        if self.on_settled is not None:
            self.on_settled(settled)


def _wait(account: Account, now: float) -> int:
    resets_at = account.resets_at(now)
    return max(1, round(resets_at - now)) if resets_at is not None else WINDOW_S


def _forced(ask: Ask, fault: Fault | None, clock: Clock) -> Refusal | None:
    if fault is None or fault.kind not in REFUSALS:
        return None
    now = clock.calendar()
    left_s = int(ask.account.left_s(now))
    wait_s = {"cap": -1, "runs": 0}.get(fault.kind, _wait(ask.account, now))
    return Refusal(fault.kind, 0 if fault.kind == "seconds" else left_s, wait_s)


def _cut_short(ticket: Ticket, now: float) -> bool:
    """The fault `queue-timeout` does not make anybody wait a minute."""
    return ticket.fault is not None and ticket.fault.kind == "queue-timeout" and now - ticket.queued_at >= 0.5
