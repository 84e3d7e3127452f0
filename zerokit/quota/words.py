"""Numbers as people say them. meter.js says them the same way, in the visitor's browser."""

from __future__ import annotations

import math


def duration(seconds: float, *, up: bool = False) -> str:
    """Seconds as "45 s", "4 min 12 s", "1 h 5 min".

    Args:
        seconds: from 0 up; below 0 is said as 0.
        up: round to the next whole second, as a price is; what is left is rounded down.

    Examples:
        >>> duration(212)
        '3 min 32 s'
    """
    if not math.isfinite(seconds):
        raise ValueError(f"A duration is a finite number of seconds, not {seconds!r}.")
    whole = max(0, math.ceil(seconds) if up else math.floor(seconds))
    minutes, rest_s = divmod(whole, 60)
    hours, rest_min = divmod(minutes, 60)
    if hours:
        return f"{hours} h {rest_min} min" if rest_min else f"{hours} h"
    if minutes:
        return f"{minutes} min {rest_s} s" if rest_s else f"{minutes} min"
    return f"{rest_s} s"


def runs(count: int) -> str:
    """A number of calls as "1 run", "7 runs"."""
    return "1 run" if count == 1 else f"{count} runs"
