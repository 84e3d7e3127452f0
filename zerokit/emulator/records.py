"""What the emulator remembers of every call, and the recording of it as JSON lines."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any


@dataclass(frozen=True)
class Call:
    """One `/schedule` and what became of it."""

    n: int
    """Counted from 1 over the emulator's life."""
    app: str
    task: int
    visitor: str
    """Who is charged: a plan's name, or `plan:name`."""
    size: str
    sent_s: int
    """`durationSeconds` on the wire: for `large` already multiplied by the card's factor."""
    declared_s: int
    """What the function asked for, worked back from `sent_s`."""
    reserved_s: int
    """What was compared with what the visitor had left."""
    granted_s: int
    """How long it could hold the GPU."""
    queued_s: float = 0.0
    """Real seconds in the queue."""
    cold: bool | None = None
    """Whether a worker had to be started; None: no GPU was given."""
    gpu: int | None = None
    used_s: float = 0.0
    """How long it held the GPU, loading included."""
    charged_s: float = 0.0
    """What was taken from the visitor's day."""
    outcome: str = "running"
    """done, failed, killed, lost, unused, withdrawn, queue-timeout, or refused: and why."""
    pids: tuple[int, ...] = ()
    fault: str | None = None
    left_s: float = 0.0
    """What the visitor has left afterwards."""
    runs_left: int | None = None

    @property
    def refused(self) -> str | None:
        """Why the call was refused; None when it was not."""
        return self.outcome.removeprefix("refused:") if self.outcome.startswith("refused:") else None


class Recording:
    """Every call, in memory and, with a path, in a file with one JSON object a line."""

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self.calls: list[Call] = []
        self._file: IO[str] | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w", encoding="utf-8")

    def call(self, call: Call) -> None:
        with self._lock:
            self.calls.append(call)
        self.line("call", **asdict(call))

    def line(self, kind: str, **facts: Any) -> None:
        with self._lock:
            if self._file is not None:
                self._file.write(json.dumps({"kind": kind, **facts}) + "\n")
                self._file.flush()

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
