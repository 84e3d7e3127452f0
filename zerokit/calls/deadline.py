"""How long before the kill a call ends by itself."""

from __future__ import annotations

from collections.abc import Callable

from ..quota import platform


def margin_s(granted_s: float) -> float:
    """Seconds before the kill at which the work ends, so that its result still gets out."""
    return min(1.0, max(0.3, 0.1 * granted_s))


def declared_for_work(
    work_s: float, size: str | None, factor: float | None, margin_s: Callable[[float], float] = margin_s
) -> int:
    """The fewest seconds to declare so that `work_s` seconds of work end before the deadline."""
    declared = platform.declared_for(work_s, size, factor)
    while True:
        granted = platform.granted_s(declared, size, factor)
        if granted - margin_s(granted) >= work_s:
            return declared
        declared += 1
