"""Faults inside the worker: what `--fault oom`, `nan`, `kill`, `slow` and `cold` do to one call. Without, nothing."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from ..faults import Fault

OOM_MESSAGE = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 47.37 GiB of which 1.12 GiB is "
    "free. Including non-PyTorch memory, this process has 46.24 GiB memory in use. Of the allocated memory 44.10 GiB "
    "is allocated by PyTorch, and 1.52 GiB is reserved by PyTorch but unallocated. If reserved but unallocated memory "
    "is large try setting PYTORCH_ALLOC_CONF=expandable_segments:True to avoid fragmentation.  See documentation for "
    "Memory Management  (https://pytorch.org/docs/stable/notes/cuda.html#environment-variables)"
)

_undo: list[Callable[[], None]] = []
_served = False


def begin(text: str | None) -> None:
    """A call begins in this worker: take back the last one's fault, and set this one's."""
    global _served
    cold, _served = not _served, True
    while _undo:
        _undo.pop()()
    if text is None:
        return
    fault = Fault.parse(text)
    if fault.kind == "kill":
        timer = threading.Timer(fault.seconds, os.kill, (os.getpid(), signal.SIGKILL))
        timer.daemon = True
        timer.start()
        _undo.append(timer.cancel)
    elif fault.kind == "nan":
        _spoil_linear()
    elif fault.kind == "slow":
        _around_forward(lambda: time.sleep(fault.seconds))
    elif fault.kind == "cold" and cold:  # the card is there, and its worker still loads
        time.sleep(fault.seconds)
    elif fault.kind in ("oom", "oom-always"):
        _around_forward(_OutOfMemory(always=fault.kind == "oom-always"))


class _OutOfMemory:
    def __init__(self, always: bool) -> None:
        self._always, self._done = always, False

    def __call__(self) -> None:
        import torch

        if self._done and not self._always:
            return
        self._done = True
        raise torch.OutOfMemoryError(OOM_MESSAGE)


def _around_forward(before: Callable[[], None]) -> None:
    """Run `before` ahead of every forward that no other forward called."""
    import torch

    module_call: Any = torch.nn.Module.__call__
    inside = threading.local()

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(inside, "depth", 0):
            return module_call(self, *args, **kwargs)
        inside.depth = 1
        try:
            before()
            return module_call(self, *args, **kwargs)
        finally:
            inside.depth = 0

    _exchange(torch.nn.Module, "__call__", call)


def _spoil_linear() -> None:
    import torch

    forward: Any = torch.nn.Linear.forward

    def spoilt(self: Any, x: Any) -> Any:
        return forward(self, x) * float("nan")

    _exchange(torch.nn.Linear, "forward", spoilt)


def _exchange(owner: type, name: str, new: Any) -> None:
    old = getattr(owner, name)
    setattr(owner, name, new)
    _undo.append(lambda: setattr(owner, name, old))
