"""The one thread in which a worker runs its functions, call after call.

torch keeps cuDNN's plans, one for each shape of a convolution or an attention, with the thread that computes (2.11,
aten/src/ATen/native/cudnn, Conv_v8.cpp and MHA.cpp): a new thread for each call makes all of them again. Measured on
an H100, 40 tokens of a model of 2 million parameters took 2.5 s in a new thread and 0.2 s in one that had made some
before (docs/reference/real-card.md).
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable


class Lane:
    """A thread that runs one job after the other."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        """`None` ends the thread."""
        threading.Thread(target=self._run, name="zerokit-lane", daemon=True).start()

    def _run(self) -> None:
        while (job := self.jobs.get()) is not None:
            torch = sys.modules.get("torch")
            if torch is not None:
                torch.set_grad_enabled(True)  # as in a new thread, whatever the call before has left
            job()
            job = None  # between calls nothing of a call is held, least of all its tensors


_lane: Lane | None = None


def run(job: Callable[[], object]) -> None:
    """Run `job` in this process's thread for it. A job raises nothing, and comes to its end before the next one."""
    global _lane
    if _lane is None or _lane.pid != os.getpid():
        _lane = Lane()
    _lane.jobs.put(job)
