"""What passes between the wire and the scheduler: an ask, and a refusal, a lease or a place in the queue for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .faults import Fault
from .records import Call
from .visitors import Account

QueuingReason = Literal["node", "concurrency"]


@dataclass(frozen=True)
class Ask:
    """One `/schedule`, checked."""

    app: str
    task: int
    account: Account
    sent_s: int
    size: str


@dataclass(frozen=True)
class Refusal:
    """Why no GPU is given. `left_s` and `wait_s` are the 429 body; `wait_s` < 0: never, 0: runs (client.schedule)."""

    why: str
    left_s: int = 0
    wait_s: int = 0


@dataclass(eq=False)
class Gpu:
    """One GPU and the worker that stays warm on it."""

    index: int
    uuid: str
    lease: Lease | None = None
    resident: tuple[str, int] | None = None
    pid: int | None = None
    used_at: float = 0.0
    leaving: int | None = None
    """The worker that was last told to go."""


@dataclass(eq=False)
class Lease:
    """A GPU in somebody's hands."""

    token: str
    ask: Ask
    call: Call
    gpu: Gpu
    idle: bool
    granted_at: float
    kill_at: float
    pid: int | None = None
    dead_since: float | None = None
    worker_fault: Fault | None = None


@dataclass(eq=False)
class Ticket:
    """A place in the queue; `lease` appears when it is over."""

    ask: Ask
    call: Call
    queued_at: float
    give_up_at: float
    not_before: float
    reason: QueuingReason
    fault: Fault | None = None
    worker_fault: Fault | None = None
    lease: Lease | None = None
    failed: bool = False
