"""The worker's side of a call: run the function, send heartbeats, end before the deadline, turn failures into words.

The function runs in a thread of its own; the generator here waits for it and yields a `Signal` every heartbeat, because
`spaces` can only stop a worker that comes to a yield. A function that does not notice Stop or the deadline is left
behind, and its process ends: the GPU is free at once, and what was made is already with the visitor.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import os
import re
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any

from .. import control as controls
from ..control import Control
from ..errors import (
    BadResult,
    DeadlineReached,
    FunctionFailed,
    GPUError,
    OutOfMemory,
    Stopped,
    UsageError,
    ZeroKitError,
)
from ..requests import Ended
from .call import HEARTBEAT_S, Call, Failure, Signal
from .deadline import margin_s
from .parcel import wrap

STOP_PATIENCE_S = 0.5
"""How long a function may take to notice that it is over."""

_main_pid = os.getpid()
_served = False

functions: dict[str, Callable[..., Any]] = {}
"""The decorated functions by key; a worker finds here what its `Call` names."""


def register(function: Callable[..., Any]) -> str:
    """The key under which workers find this function; two of one name get two keys."""
    name = key = f"{function.__module__}.{function.__qualname__}"
    number = 1
    while key in functions:
        number += 1
        key = f"{name}#{number}"
    functions[key] = function
    return key


def work(call: Call) -> Iterator[Signal]:
    """Serve one call. Runs in the worker; off ZeroGPU in the main process."""
    global _served
    in_worker = os.getpid() != _main_pid
    cold, _served = in_worker and not _served, True
    started_at = time.monotonic()
    control = Control(_deadline(call, started_at))
    body = _Body(call, control)
    signals = _Signals(started_at, cold, control)
    yield signals.beat()
    body.start()
    try:
        while not body.done.wait(HEARTBEAT_S):
            if time.monotonic() > control.deadline + STOP_PATIENCE_S * margin_s(call.granted_s or 0):
                control.cancel()
                yield signals.final(body, overdue=True)
                if in_worker:
                    os._exit(1)
                return
            yield signals.beat()
        yield signals.final(body)
        if in_worker and body.poisoned:
            os._exit(1)
    except GeneratorExit:
        control.cancel()
        if not body.done.wait(STOP_PATIENCE_S) and in_worker:
            os._exit(1)
        raise


def _deadline(call: Call, started_at: float) -> float:
    if call.granted_s is None:
        return math.inf
    granted_at = call.granted_at if call.granted_at is not None else started_at
    return min(granted_at, started_at) + call.granted_s - margin_s(call.granted_s)


class _Body:
    """The function, in a thread."""

    def __init__(self, call: Call, control: Control) -> None:
        self.call, self.control = call, control
        self.done = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None
        self.ended: Ended = "complete"
        self.ended_at = 0.0
        self.poisoned = False
        context = copy_context()
        context.run(controls.enter, control)
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="zerokit-call", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        try:
            self.value = self._call()
        except BaseException as exc:  # noqa: BLE001  whatever it is, the visitor gets words and the log gets it all
            self.error = exc
            self.poisoned = _is_poison(exc)
            if not self.poisoned:
                _free_memory(exc)
        finally:
            self.ended_at = time.monotonic()
            self.done.set()

    def _call(self) -> Any:
        function = functions.get(self.call.function)
        if function is None:
            raise UsageError(
                f"{self.call.function} was decorated after the app had started. Decorate functions at module level."
            )
        if not inspect.isgeneratorfunction(function):
            return function(*self.call.args, **self.call.kwargs)
        last = None
        with contextlib.closing(function(*self.call.args, **self.call.kwargs)) as values:
            for last in values:
                self.control.report(made=last)
                reason = self.control.stop_reason()
                if reason:
                    self.ended = reason
                    break
        return last


class _Signals:
    """Makes the signals of one call; `made` is only sent when it changed."""

    def __init__(self, started_at: float, cold: bool, control: Control) -> None:
        self.started_at, self.cold, self.control = started_at, cold, control
        self._made: Any = None

    def beat(self) -> Signal:
        return self._signal()

    def final(self, body: _Body, *, overdue: bool = False) -> Signal:
        if overdue:
            error: BaseException | None = DeadlineReached("It took longer than the seconds reserved for it.")
        else:
            error = body.error
        if error is None:
            try:
                return self._signal(final=True, value=wrap(body.value), ended=body.ended, ended_at=body.ended_at)
            except BadResult as exc:
                error = exc
        ended: Ended = "deadline" if isinstance(error, DeadlineReached) else "interrupted"
        if isinstance(error, Stopped):
            ended = "stopped"
        return self._signal(
            final=True, failure=_failure(error), ended=ended, ended_at=body.ended_at or time.monotonic()
        )

    def _signal(self, **facts: Any) -> Signal:
        _, progress, made = self.control.look()
        parcel = None
        if made is not None and made is not self._made:
            self._made = made
            with contextlib.suppress(BadResult):  # the final signal says it; a heartbeat carries what can be shown
                parcel = wrap(made)
        return Signal(self.started_at, self.cold, progress, parcel, **facts)


def _failure(error: BaseException) -> Failure:
    text = "".join(traceback.format_exception(error))
    if isinstance(error, ZeroKitError):
        return Failure(type(error).__name__, error.message, traceback=text)
    if _is_gradio_error(error):
        return Failure("gradio", str(getattr(error, "message", error)), getattr(error, "title", "Error"), text)
    if is_out_of_memory(error):
        return Failure(OutOfMemory.__name__, describe_out_of_memory(error), traceback=text)
    if _is_poison(error):
        return Failure(GPUError.__name__, "The GPU reported an error and was reset.", traceback=text)
    return Failure(FunctionFailed.__name__, "It ended with an error that it did not expect.", traceback=text)


def _is_gradio_error(error: BaseException) -> bool:
    import gradio as gr

    return isinstance(error, gr.Error)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that the GPU's memory ran out (torch.OutOfMemoryError, or the same from a CUDA library)."""
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and "out of memory" in str(error).lower()


def describe_out_of_memory(error: BaseException) -> str:
    """The numbers of torch's message, without the rest of it."""
    text = str(error)
    asked = re.search(r"allocate ([\d.]+ [KMGT]?i?B)", text)
    total = re.search(r"capacity of ([\d.]+ [KMGT]?i?B)", text)
    what = f"It needed {asked[1]} more memory than the GPU has free" if asked else "The GPU's memory ran out"
    return what + (f" (it has {total[1]} in all)." if total else ".")


def _is_poison(error: BaseException) -> bool:
    """After such an error nothing runs in this process's CUDA context any more."""
    if is_out_of_memory(error):
        return False
    text = str(error)
    return isinstance(error, RuntimeError) and ("CUDA error" in text or "device-side assert" in text)


def _free_memory(error: BaseException) -> None:
    if not is_out_of_memory(error):
        return
    error.__traceback__ = _without_locals(error)
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _without_locals(error: BaseException) -> Any:
    """The traceback, its frames emptied: they hold the tensors that filled the memory."""
    traceback.clear_frames(error.__traceback__)
    return error.__traceback__
