"""What a piece of work knows of the call it runs in: report progress, see the deadline, notice Stop.

`Control` is handed to engines. In a function of the author's own, `zerokit.progress(...)` finds the current one.
Neither gradio nor spaces is known here.
"""

from __future__ import annotations

import math
import threading
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

from .errors import DeadlineReached, Stopped

StopReason = Literal["stopped", "deadline"]


@dataclass(frozen=True)
class Progress:
    """How far a call is."""

    done: float | None = None
    total: float | None = None
    text: str = ""

    @property
    def fraction(self) -> float | None:
        """0 to 1; None when the total is not known."""
        if self.done is None or not self.total or self.total <= 0:
            return None
        return min(1.0, max(0.0, self.done / self.total))


class Control:
    """One call, seen from inside.

    Args:
        deadline: the moment of `time.monotonic()` at which the work must be over, so that its result still gets out;
            infinite where nothing limits the call.
    """

    def __init__(self, deadline: float = math.inf) -> None:
        self.deadline = deadline
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._version = 0
        self._progress = Progress()
        self._made: Any = None

    @property
    def left_s(self) -> float:
        """Seconds until the deadline; never negative."""
        return max(0.0, self.deadline - time.monotonic())

    def stop_reason(self) -> StopReason | None:
        """Why the work must end now and give what it has, or None: go on."""
        if self._cancelled.is_set():
            return "stopped"
        if time.monotonic() >= self.deadline:
            return "deadline"
        return None

    def report(
        self, done: float | None = None, total: float | None = None, text: str = "", *, made: Any = None
    ) -> None:
        """Say how far the work is, and hand over `made`: all that was made so far (None: nothing to show yet)."""
        # Plain values only: what is reported leaves the worker as it is, and a CUDA tensor would hang the call.
        progress = Progress(None if done is None else float(done), None if total is None else float(total), str(text))
        with self._lock:
            self._progress = progress
            if made is not None:
                self._made = made
                self._version += 1

    def cancel(self) -> None:
        """The visitor stopped the call or left."""
        self._cancelled.set()

    def look(self) -> tuple[int, Progress, Any]:
        """How often something made was handed over, the last progress, and what was made so far."""
        with self._lock:
            return self._version, self._progress, self._made


_current: ContextVar[Control | None] = ContextVar("zerokit_control", default=None)


def current() -> Control | None:
    """The control of the call that this code runs in; None outside a GPU call."""
    return _current.get()


def required() -> Control:
    """The control of the call that this code runs in; one without a deadline outside a GPU call."""
    return current() or Control()


def enter(control: Control) -> None:
    """Make `control` the current one in this context."""
    _current.set(control)


def progress(done: float | None = None, total: float | None = None, text: str = "", *, made: Any = None) -> None:
    """Report progress from inside a function under `@zerokit.gpu`; it reaches the visitor's page.

    Outside a GPU call it does nothing, so that a function can be tried without one.

    Args:
        done: units of work done, in any unit.
        total: units of work in all; None when not known.
        text: a few words for the visitor.
        made: what was made so far; it is the answer if the call is stopped or cut.

    Raises:
        Stopped: the visitor stopped the call.
        DeadlineReached: the reserved seconds end; what was handed over as `made` is the answer.
    """
    control = current()
    if control is None:
        return
    control.report(done, total, text, made=made)
    reason = control.stop_reason()
    if reason == "stopped":
        raise Stopped("You stopped it.")
    if reason == "deadline":
        raise DeadlineReached("The reserved GPU time ended before it was done.")
