"""Faults that a run asks for: `WHAT`, `WHAT:SECONDS`, with `@N` (the N-th call) or `@N+` (from the N-th on)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

# In the scheduler: what it answers instead of a GPU. Names of the refusals are those of Call.refused.
REFUSALS = ("seconds", "runs", "cap", "credits", "401", "503", "refused")
QUEUEING = ("queue-timeout", "cut-queue", "queue")
# In the worker, passed on to it with the grant.
WORKER = ("oom", "oom-always", "nan", "kill", "slow", "cold")
# Seconds that a fault takes when it is not told otherwise; only these take seconds.
DEFAULT_S = {"queue": 2.0, "kill": 0.5, "slow": 0.05, "cold": 2.0}
KINDS = (*REFUSALS, *QUEUEING, *WORKER)

_FORM = re.compile(r"(?P<kind>[A-Za-z0-9-]+)(?::(?P<seconds>[^@]+))?(?:@(?P<first>\d+)(?P<on>\+?))?")


@dataclass(frozen=True)
class Fault:
    """One fault and the calls it hits, counted from 1.

    Args:
        kind: such as "oom" or "kill".
        seconds: of a fault that takes some.
        first: the first call that it hits.
        last: the last one; None: all after the first too.
    """

    kind: str
    seconds: float = 0.0
    first: int = 1
    last: int | None = None

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read `kill:0.7@3`.

        Raises:
            ValueError: not of that form, an unknown kind (with the nearest), or numbers out of range.
        """
        found = _FORM.fullmatch(text.strip())
        if not found:
            raise ValueError(f"A fault is WHAT, WHAT@N or WHAT@N+, like oom@3 or kill:0.7@2, not {text!r}.")
        kind = found["kind"]
        if kind not in KINDS:
            near = get_close_matches(kind, KINDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"There is no fault {kind!r}: it is one of {', '.join(KINDS)}.{hint}")
        first = int(found["first"] or 1)
        if first < 1:
            raise ValueError(f"Calls are counted from 1, so {text!r} never happens.")
        last = first if found["first"] and not found["on"] else None
        return cls(kind, _seconds(kind, found["seconds"], text), first, last)

    def hits(self, n: int) -> bool:
        """Whether the n-th call gets this fault."""
        return self.first <= n and (self.last is None or n <= self.last)

    def __str__(self) -> str:
        return f"{self.kind}:{self.seconds:g}" if self.kind in DEFAULT_S else self.kind


def parse_all(faults: Iterable[str | Fault]) -> tuple[Fault, ...]:
    """Read several; a `Fault` is taken as it is."""
    return tuple(fault if isinstance(fault, Fault) else Fault.parse(fault) for fault in faults)


def _seconds(kind: str, text: str | None, whole: str) -> float:
    if text is None:
        return DEFAULT_S.get(kind, 0.0)
    if kind not in DEFAULT_S:
        raise ValueError(f"{kind} takes no seconds ({whole!r}); only {', '.join(DEFAULT_S)} do.")
    try:
        seconds = float(text)
    except ValueError as exc:
        raise ValueError(f"{text!r} in {whole!r} is not a number of seconds.") from exc
    if not math.isfinite(seconds) or not 0 <= seconds <= 3600:
        raise ValueError(f"{whole!r}: the seconds are from 0 to 3600.")
    return seconds
