"""Which calls run for which page, so that Stop finds the one it means."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Running:
    """The running calls of each Gradio session. Only events are shared: nothing of a request is kept here."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stops: dict[str, list[threading.Event]] = defaultdict(list)

    @contextmanager
    def call(self, session: str | None) -> Iterator[threading.Event]:
        """A call of this session; the event is set when it shall stop."""
        stop = threading.Event()
        key = session or ""
        with self._lock:
            self._stops[key].append(stop)
        try:
            yield stop
        finally:
            with self._lock:
                self._stops[key].remove(stop)
                if not self._stops[key]:
                    del self._stops[key]

    def stop(self, session: str | None) -> None:
        """Stop all calls of this session; a caller without one has nothing to stop."""
        if not session:
            return
        with self._lock:
            for stop in self._stops.get(session, []):
                stop.set()
