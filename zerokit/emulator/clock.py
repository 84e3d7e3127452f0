"""The emulator's two times: a calendar that can run fast, and the real seconds a GPU is held."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class Clock:
    """Calendar time (the 24 h window, the queue's patience) and real time (GPU seconds).

    Args:
        speed: how many calendar seconds pass in one real second.
        calendar: the calendar's origin in epoch seconds; tests pass a constant.
        real: a monotonic clock in seconds; tests pass their own.
    """

    def __init__(
        self,
        speed: float = 1.0,
        *,
        calendar: Callable[[], float] = time.time,
        real: Callable[[], float] = time.monotonic,
    ) -> None:
        if not math.isfinite(speed) or speed <= 0:
            raise ValueError(f"The calendar's speed is a number above 0, not {speed!r}.")
        self.speed = speed
        self._real = real
        self._real_origin = real()
        self._calendar_origin = calendar()

    def real(self) -> float:
        """Real seconds, from an arbitrary start."""
        return self._real()

    def calendar(self) -> float:
        """Epoch seconds of the emulator's calendar."""
        return self._calendar_origin + (self._real() - self._real_origin) * self.speed

    def advance(self, seconds: float) -> None:
        """Move the calendar forward; GPU seconds do not move.

        Raises:
            ValueError: the step is negative or not a number; the calendar never runs back.
        """
        if not math.isfinite(seconds) or seconds < 0:
            raise ValueError(f"The calendar moves forward by a number of seconds, not {seconds!r}.")
        self._calendar_origin += seconds
