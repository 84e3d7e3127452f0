"""Runs the blocking side of a call in a thread, so that the page's side always waits at a yield and can be closed."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from .. import settings
from .call import Call, Signal

CLOSE_PATIENCE_S = 1.5
"""How long a stopped call may take to free its GPU before the page stops waiting for it."""


@dataclass(frozen=True)
class Ended:
    """The door's generator is over; `error` is what it raised."""

    error: BaseException | None = None


class Pump:
    """Iterates `door(call)` in a thread and hands its signals over."""

    def __init__(self, door: Callable[[Call], Iterator[Signal]], call: Call) -> None:
        self._door, self._call = door, call
        self._signals: queue.SimpleQueue[Signal | Ended] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._over = False
        self._then: Callable[[], object] | None = None
        self._visitor = _Visitor.here(self._closed)
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name="zerokit-pump", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def next(self, timeout_s: float) -> Signal | Ended | None:
        """The next signal; None when there is none within the time."""
        try:
            return self._signals.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def rest(self) -> Iterator[Signal]:
        """The signals that are there already."""
        with contextlib.suppress(queue.Empty):
            while True:
                news = self._signals.get_nowait()
                if isinstance(news, Signal):
                    yield news

    def close(self, then: Callable[[], object] | None = None) -> None:
        """Stop the call, in the queue or in the worker, and wait a little until the GPU is free.

        Gradio closes generators in its event loop, where nobody must wait.

        Args:
            then: called once the call is over, here or in its thread.
        """
        with self._lock:
            self._closed.set()
            over = self._over
            if not over:
                self._then = then
        if over and then is not None:
            then()
        if not _in_event_loop():
            self.join()

    def join(self) -> None:
        self._thread.join(CLOSE_PATIENCE_S)

    def visitor_is_gone(self) -> bool:
        """Whether the Gradio event that made this call was cancelled or its page closed."""
        return self._visitor is not None and self._visitor.is_gone()

    def _run(self) -> None:
        ended = Ended()
        try:
            if self._visitor is not None and settings.on_zero_gpu():
                self._visitor.stand_in()
            with contextlib.closing(self._door(self._call)) as signals:  # type: ignore[type-var]
                for signal in signals:
                    self._signals.put(signal)
                    if self._closed.is_set():
                        break
        except BaseException as exc:  # noqa: BLE001  the page's side translates it, and waits for it
            ended = Ended(exc)
        with self._lock:
            self._over = True
        self._signals.put(ended)
        if self._then is not None:
            self._then()


class _Visitor:
    """Gradio's event that made a call, as `spaces` finds it (`zero/gradio.py`)."""

    def __init__(self, blocks: Any, event: Any, closed: threading.Event) -> None:
        self._blocks, self._event, self._closed = blocks, event, closed
        self._id: str = event._id

    @classmethod
    def here(cls, closed: threading.Event) -> _Visitor | None:
        """The one of this context; None outside an event of the queue."""
        if "gradio" not in sys.modules:
            return None
        from gradio.context import LocalContext

        blocks, event_id = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
        if blocks is None or event_id is None:
            return None
        event = next((event for event in _running(blocks) if event._id == event_id), None)
        return cls(blocks, event, closed) if event is not None else None

    def is_gone(self) -> bool:
        return not self._event.alive or not any(event is self._event for event in _running(self._blocks))

    @property
    def alive(self) -> bool:
        return not self._closed.is_set() and not self.is_gone()

    def stand_in(self) -> None:
        """Let `spaces`, in this context, see an event that ends with the call.

        While it queues it looks at the event's `alive` alone (`zero/client.py`); ending the real event would end its
        page's messages too.
        """
        from gradio.context import LocalContext

        LocalContext.blocks.set(_Like(self._blocks, _queue=_Like(self._blocks._queue, active_jobs=[[self]])))


class _Like:
    """Another object, but for a few attributes."""

    def __init__(self, other: Any, **own: Any) -> None:
        self.__dict__.update(own, _other=other)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_other"], name)


def _running(blocks: Any) -> list[Any]:
    return [event for job in blocks._queue.active_jobs if job for event in job]


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
