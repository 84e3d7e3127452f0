"""`Call`: the one object that travels to the worker, and what comes back from it.

The worker's clock starts when the GPU is granted. The main process learns that moment from pickling: `spaces` pickles
the arguments of a call right after the scheduler has granted it (`zero/wrappers.py`, `worker.arg_queue.put`), so
`Call.__getstate__` stamps it. `time.monotonic` is one clock for all processes of a machine.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from ..control import Progress
from ..errors import BadResult, UsageError
from ..requests import Ended
from .parcel import unwrap, wrap
from .usage import Usage

HEARTBEAT_S = 0.2
"""Seconds between two signals of a worker: Stop acts at the next one, and a lost call loses at most this much."""


@dataclass
class Call:
    """One call of one decorated function."""

    function: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    declared_s: int | None = None
    granted_s: int | None = None
    margin_s: float | None = None
    """Seconds before the end of what is granted at which the function must be over; None: as for any function."""
    granted_at: float | None = field(default=None)
    parcel: bytes | None = field(default=None, repr=False)
    """The arguments, pickled before a GPU was asked for."""
    stop_path: str | None = None
    """A file that appears when the function shall end and give what it has; closing the call gives it no time to."""

    def pack(self) -> None:
        """Pickle the arguments now: `spaces` does it with the GPU in hand, where a failure costs the visitor a run.

        Raises:
            UsageError: they cannot be pickled.
        """
        try:
            self.parcel = wrap((self.args, self.kwargs))
        except BadResult as exc:
            raise UsageError("What the function was given cannot be sent to the GPU.") from exc.__cause__

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What the function is called with, in the worker."""
        return unwrap(self.parcel) if self.parcel is not None else (self.args, self.kwargs)

    def ask_to_stop(self) -> None:
        """Tell the worker, which only sees what all processes see."""
        if self.stop_path is not None:
            os.close(os.open(self.stop_path, os.O_CREAT | os.O_WRONLY, 0o600))

    def is_asked_to_stop(self) -> bool:
        """Whether the function shall end now; looked at by the worker at every heartbeat."""
        return self.stop_path is not None and os.path.exists(self.stop_path)

    def forget_stop(self) -> None:
        """Clear up after a call that was asked to stop."""
        if self.stop_path is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.stop_path)

    def __getstate__(self) -> dict[str, Any]:
        self.granted_at = time.monotonic()
        return self.__dict__ if self.parcel is None else {**self.__dict__, "args": (), "kwargs": {}}


@dataclass(frozen=True)
class Failure:
    """What went wrong, in a form that always survives pickling."""

    kind: str
    """The name of the class in zerokit.errors; "gradio" for the author's own gr.Error."""
    message: str
    title: str = ""
    traceback: str = ""
    duration_s: float | None = 10
    """Of the author's own gr.Error: how long it is shown, None: until it is closed."""
    visible: bool = True


@dataclass(frozen=True)
class Signal:
    """What a worker says: every heartbeat, and once at the end."""

    started_at: float
    """When the function began, on the machine's monotonic clock."""
    cold: bool
    progress: Progress
    made: bytes | None = None
    """Pickled: all that was made so far, if it is new."""
    final: bool = False
    value: bytes | None = None
    failure: Failure | None = None
    ended: Ended = "complete"
    ended_at: float = 0.0


@dataclass(frozen=True)
class Beat:
    """What the page can show while a call runs."""

    phase: Literal["waiting", "waking", "running"]
    """Waiting for a GPU; the GPU is there and loads; the function runs."""
    progress: Progress = field(default_factory=Progress)
    made: Any = None
    """All that was made so far, None: nothing yet."""
    elapsed_s: float = 0.0
    left_s: float | None = None
    """Seconds until the deadline; None where there is none."""


@dataclass(frozen=True)
class Outcome:
    """How a call ended. `value` is the result, or with `failure` what was made until then (None: nothing)."""

    value: Any
    ended: Ended
    usage: Usage
    failure: Exception | None = None
