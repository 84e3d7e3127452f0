"""The worker's side of a call: run the function, send heartbeats, end before the deadline, turn failures into words.

The function runs in a thread of its own; the generator here waits for it and yields a `Signal` every heartbeat, because
`spaces` can only stop a worker that comes to a yield. A function that does not notice Stop or the deadline is left
behind, and its process ends: the GPU is free at once, and what was made is already with the visitor.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import math
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextvars import copy_context
from functools import partial
from typing import Any

from .. import control as controls
from .. import errors
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
from . import lane
from .call import HEARTBEAT_S, Call, Failure, Signal
from .deadline import margin_s
from .page import is_gradio_error
from .parcel import wrap

STOP_PATIENCE_S = 0.5
"""How long a function may take to notice Stop."""
LATE_SHARE = 0.5
"""How much of the margin before the kill a function may take to notice the deadline."""

log = logging.getLogger("zerokit")
_main_pid = os.getpid()
_served = False

functions: dict[str, Callable[..., Any]] = {}
"""The decorated functions by key; a worker finds here what its `Call` names."""


def register(function: Callable[..., Any]) -> str:
    """The key under which workers find this function; two of one name get two keys."""
    name = key = name_of(function)
    number = 1
    while key in functions:
        number += 1
        key = f"{name}#{number}"
    functions[key] = function
    return key


def name_of(function: Callable[..., Any]) -> str:
    """Module and name, of the class where it is an object that can be called."""
    named = function if hasattr(function, "__qualname__") else getattr(function, "func", type(function))
    return f"{getattr(named, '__module__', '?')}.{getattr(named, '__qualname__', '?')}"


def work(call: Call) -> Iterator[Signal]:
    """Serve one call. Runs in the worker; off ZeroGPU in the main process."""
    global _served
    in_worker = os.getpid() != _main_pid
    cold, _served = in_worker and not _served, True
    started_at = time.monotonic()
    control = Control(_deadline(call, started_at))
    body = _Body(call, control, in_worker)
    signals = _Signals(started_at, cold, control)
    overdue_at = control.deadline + LATE_SHARE * _margin_s(call)
    yield signals.beat()
    body.start()
    try:
        while not body.done.wait(min(HEARTBEAT_S, max(0.0, overdue_at - time.monotonic()))):
            if time.monotonic() >= overdue_at:
                control.cancel()
                yield signals.final(body, overdue=True)
                if in_worker:
                    os._exit(1)
                return
            if call.is_asked_to_stop():
                control.cancel()
            yield signals.beat()
        yield signals.final(body)
        if in_worker and body.poisoned:
            os._exit(1)
    except GeneratorExit:
        control.cancel()
        if (not body.done.wait(STOP_PATIENCE_S) or body.poisoned) and in_worker:
            os._exit(1)
        raise


def _deadline(call: Call, started_at: float) -> float:
    if call.granted_s is None:
        return math.inf
    granted_at = call.granted_at if call.granted_at is not None else started_at
    return min(granted_at, started_at) + call.granted_s - _margin_s(call)


def _margin_s(call: Call) -> float:
    return margin_s(call.granted_s or 0) if call.margin_s is None else call.margin_s


class _Body:
    """The function, in a thread: in a worker always the same one."""

    def __init__(self, call: Call, control: Control, in_worker: bool) -> None:
        self.call, self.control, self._in_worker = call, control, in_worker
        self.done = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None
        self.ended: Ended = "complete"
        self.ended_at = 0.0
        self.poisoned = False
        context = copy_context()
        context.run(controls.enter, control)
        self._job = partial(context.run, self._run)

    def start(self) -> None:
        if self._in_worker:
            lane.run(self._job)
        else:
            threading.Thread(target=self._job, name="zerokit-call", daemon=True).start()

    def _run(self) -> None:
        try:
            self.value = self._call()
        except BaseException as exc:  # noqa: BLE001  whatever it is, the visitor gets words and the log gets it all
            self.fail(exc)
        finally:
            self.ended_at = time.monotonic()
            self.done.set()

    def fail(self, error: BaseException | None) -> None:
        self.error = error
        self.poisoned = _is_poison(error)
        if error is not None and is_out_of_memory(error):
            _free_memory(error)

    def _call(self) -> Any:
        function = functions.get(self.call.function)
        if function is None:
            raise UsageError(
                f"{self.call.function} was decorated after the app had started. Decorate functions at module level."
            )
        args, kwargs = self.call.arguments()
        result = function(*args, **kwargs)
        if inspect.iscoroutine(result):
            result.close()
            raise UsageError(f"{self.call.function} gave a coroutine, and ZeroGPU runs plain functions only.")
        return self._last(result) if inspect.isgenerator(result) else result

    def _last(self, generator: Any) -> Any:
        last = None
        with contextlib.closing(generator):
            for last in generator:
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
        self._sent = 0

    def beat(self) -> Signal:
        return self._signal()

    def final(self, body: _Body, *, overdue: bool = False) -> Signal:
        late = DeadlineReached("It took longer than the seconds reserved for it.")
        error: BaseException | None = late if overdue else body.error
        if error is None:
            try:
                value, progress = wrap(body.value), self.control.look()[1]
                return Signal(self.started_at, self.cold, progress, None, True, value, None, body.ended, body.ended_at)
            except BadResult as exc:
                # CUDA reports late: what went wrong in the function may only show when its result is copied.
                error = exc.__cause__ if is_out_of_memory(exc.__cause__) or _is_poison(exc.__cause__) else exc
                body.fail(error)
        ended: Ended = "deadline" if isinstance(error, DeadlineReached) else "interrupted"
        if isinstance(error, Stopped):
            ended = "stopped"
        return self._signal(
            final=True, failure=_failure(error), ended=ended, ended_at=body.ended_at or time.monotonic()
        )

    def _signal(self, **facts: Any) -> Signal:
        version, progress, made = self.control.look()
        parcel = None
        if version != self._sent:  # not identity: a function may yield one list that grows
            self._sent = version
            with contextlib.suppress(BadResult):  # the final signal says it; a heartbeat carries what can be shown
                parcel = wrap(made)
        return Signal(self.started_at, self.cold, progress, parcel, **facts)


def _failure(error: BaseException | None) -> Failure:
    try:
        return _describe(error)
    except Exception as exc:
        log.error("An error could not be described.", exc_info=exc)
        return Failure(FunctionFailed.__name__, "It ended with an error that it did not expect.")


def _describe(error: BaseException | None) -> Failure:
    text = "".join(traceback.format_exception(error))
    if isinstance(error, ZeroKitError):
        ours = next(kind for kind in type(error).__mro__ if vars(errors).get(kind.__name__) is kind)
        return Failure(ours.__name__, error.message, traceback=text)
    if is_gradio_error(error):
        said: Any = error
        return Failure("gradio", str(said.message), str(said.title), text, said.duration, bool(said.visible))
    if error is not None and is_out_of_memory(error):
        return Failure(OutOfMemory.__name__, describe_out_of_memory(error), traceback=text)
    if _is_poison(error):
        return Failure(GPUError.__name__, "The GPU reported an error and was reset.", traceback=text)
    return Failure(FunctionFailed.__name__, "It ended with an error that it did not expect.", traceback=text)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether it says that the memory ran out (torch.OutOfMemoryError, or the same from a CUDA library)."""
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and "out of memory" in _text(error).lower()


def _text(error: BaseException | None) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  an author's class may break when it is looked at
        return ""


def describe_out_of_memory(error: BaseException) -> str:
    """The numbers of torch's message, without the rest of it."""
    if isinstance(error, MemoryError):
        return "The computer's memory ran out."
    text = _text(error)
    asked = re.search(r"allocate ([\d.]+ [KMGT]?i?B)", text)
    total = re.search(r"capacity of ([\d.]+ [KMGT]?i?B)", text)
    what = f"It needed {asked[1]} more memory than the GPU has free" if asked else "The GPU's memory ran out"
    return what + (f" (it has {total[1]} in all)." if total else ".")


def _is_poison(error: BaseException | None) -> bool:
    """After such an error nothing runs in this process's CUDA context any more."""
    if is_out_of_memory(error):
        return False
    text = _text(error)
    return isinstance(error, RuntimeError) and ("CUDA error" in text or "device-side assert" in text)


def _free_memory(error: BaseException) -> None:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:  # the frames hold the tensors that filled the memory
        seen.add(id(cause))
        traceback.clear_frames(cause.__traceback__)
        cause = cause.__context__
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
