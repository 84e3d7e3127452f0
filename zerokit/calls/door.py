"""The only module that imports `spaces`: one door for each size, through which all calls of the app go.

One decorated function is one set of workers with one copy of the weights (`spaces` 0.51.3, `zero/wrappers.py`), so all
functions of an app share a dispatcher. Off ZeroGPU the same dispatcher runs here, without a reservation.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from .. import settings
from .call import Call, Signal
from .worker import work

_doors: dict[str | None, Callable[[Call], Iterator[Signal]]] = {}
_lock = threading.Lock()

if settings.on_zero_gpu():
    import spaces
    from spaces.zero import client, config


def open_door(size: str | None) -> Callable[[Call], Iterator[Signal]]:
    """The dispatcher of that size; made when a function is decorated, before the app launches."""
    with _lock:
        if size not in _doors:
            _doors[size] = _decorate(size)
        return _doors[size]


def _decorate(size: str | None) -> Callable[[Call], Iterator[Signal]]:
    if not settings.on_zero_gpu():
        return work

    def zerokit_call(call: Call) -> Iterator[Signal]:
        yield from work(call)

    def duration(call: Call) -> int:
        return call.declared_s or client.DEFAULT_SCHEDULE_DURATION

    door: Any = spaces.GPU(zerokit_call, duration=duration, size=size)
    return door


def factor() -> float | None:
    """The duration factor of the card that this Space runs on; None off ZeroGPU."""
    if not settings.on_zero_gpu():
        return None
    return float(config.get_config()["duration_factor"])


def default_size() -> str | None:
    """The size that the platform takes when none is named: "xlarge" when the weights are too large for half a card."""
    if not settings.on_zero_gpu():
        return None
    from spaces.zero import default_gpu_size

    chosen: str | None = default_gpu_size()
    return chosen
