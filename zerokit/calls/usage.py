"""What a call cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """One call, settled. Seconds are wall seconds of the GPU unless said otherwise."""

    declared_s: int | None = None
    """What the function asked for; None where nothing is reserved (off ZeroGPU)."""
    reserved_s: int | None = None
    """What was compared with what the visitor had left."""
    granted_s: int | None = None
    """How long the call could have held the GPU."""
    used_s: float = 0.0
    """How long it held the GPU, the cold start included."""
    cold_s: float = 0.0
    """Of that, what passed before the function began."""
    queued_s: float = 0.0
    """Waiting before the GPU was there; not charged."""
    cold: bool = False
    """Whether the weights had to be loaded for this call."""
    ran: bool = False
    """Whether the GPU was reached at all."""
    began: bool = True
    """Whether the function began, of a call that ran; else all of it was the start."""
    overran: bool = False
    """Whether the granted seconds ended before it was done: it would have taken longer than it did."""
    lost: bool = False
    """Whether the process died that served it."""

    @property
    def work_s(self) -> float:
        """Seconds of the function itself."""
        return max(0.0, self.used_s - self.cold_s)
