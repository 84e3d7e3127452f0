"""Runs the blocking side of a call in a thread, so that the page's side always waits at a yield and can be closed."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from .call import Call, Signal

CLOSE_PATIENCE_S = 1.5
"""How long a stopped call may take to free its GPU before the page stops waiting for it."""


@dataclass(frozen=True)
class Ended:
    """The door's generator is over; `error` is what it raised."""

    error: Exception | None = None


class Pump:
    """Iterates `door(call)` in a thread and hands its signals over."""

    def __init__(self, door: Callable[[Call], Iterator[Signal]], call: Call) -> None:
        self._door, self._call = door, call
        self._signals: queue.SimpleQueue[Signal | Ended] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._event = visitor_event()
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name="zerokit-pump", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def next(self, timeout_s: float) -> Signal | Ended | None:
        """The next signal; None when there is none within the time."""
        try:
            return self._signals.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Stop the call, in the queue or in the worker, and wait a little until the GPU is free."""
        self._closed.set()
        if self._event is not None:
            self._event.alive = False  # `spaces` looks at it while it queues (zero/client.py)
        self._thread.join(CLOSE_PATIENCE_S)

    def join(self) -> None:
        self._thread.join(CLOSE_PATIENCE_S)

    def visitor_is_gone(self) -> bool:
        """Whether the Gradio event that made this call was cancelled or its page closed."""
        if self._event is None:
            return False
        return not self._event.alive or visitor_event() is not self._event

    def _run(self) -> None:
        ended = Ended()
        try:
            with contextlib.closing(self._door(self._call)) as signals:  # type: ignore[type-var]
                for signal in signals:
                    if self._closed.is_set():
                        break
                    self._signals.put(signal)
        except Exception as exc:  # noqa: BLE001  the page's side translates it
            ended = Ended(exc)
        self._signals.put(ended)


def visitor_event() -> Any:
    """Gradio's running event of this context, as `spaces` finds it (`zero/gradio.py`); None outside one."""
    from gradio.context import LocalContext

    blocks, event_id = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
    if blocks is None or event_id is None:
        return None
    jobs = [event for job in blocks._queue.active_jobs if job for event in job]
    return next((event for event in jobs if event._id == event_id), None)
