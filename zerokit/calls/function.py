"""`@zerokit.gpu`: a function that runs on the GPU, and the main process's side of its calls."""

from __future__ import annotations

import functools
import inspect
import logging
import math
import os
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from numbers import Real
from types import MethodType
from typing import Any, Generic, ParamSpec, TypeVar, overload

from .. import control, settings
from ..errors import DurationTooLong, FunctionFailed, QuotaExceeded, UsageError, ZeroKitError
from ..quota import platform
from . import worker
from .call import Beat, Call, Outcome
from .door import default_size, factor, open_door
from .duration import Declared, Estimator, Fixed, Learned
from .page import is_gradio_error, show_progress, tell_cut, to_gradio
from .seam import Seam
from .usage import Usage

log = logging.getLogger("zerokit")
PLENTY = 3
"""Who has so many times left what a call would reserve amply gets it: the day does not end there."""
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Quote:
    """The price of a call before it is made. All None off ZeroGPU, where nothing is reserved."""

    declared_s: int | None = None
    """What the function asks for."""
    reserved_s: int | None = None
    """What is compared with what the visitor has left."""
    granted_s: int | None = None
    """How long the call may hold the GPU."""
    shortened: bool = False
    """Whether it was cut to what the visitor has left: the answer may be cut too."""


class GPUFunction(Generic[P, R]):
    """A function under `@gpu`. Calling it gives its result; `beats` gives what a page can show meanwhile."""

    def __init__(
        self,
        function: Callable[P, Any],
        estimator: Estimator,
        size: str | None,
        stream: bool,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function, self.estimator, self.size, self.stream = function, estimator, size, stream
        self.left_s: float | None = None
        self.cap_s: float | None = None
        self.stop: threading.Event | None = None
        self.grace_s = 0.0
        self.bound: tuple[Any, ...] = ()
        self.key = worker.register(function)
        self.door = open_door(size)
        self._look_like(function)

    def within(self, left_s: float | None, cap_s: float | None = None) -> GPUFunction[P, R]:
        """The same function for a visitor who has `left_s` seconds left, and may reserve `cap_s` in one call."""
        return self._with(left_s=left_s, cap_s=cap_s)

    def stopped_by(self, stop: threading.Event, grace_s: float = 0.0) -> GPUFunction[P, R]:
        """The same function; a call of it ends, with what was made until then, when `stop` is set.

        Args:
            stop: set by whoever wants the call to end.
            grace_s: seconds of GPU time in which the function may make something of what it has. It notices Stop in
                `control.stop_reason()`, or by the exception that `zerokit.progress` raises.
        """
        return self._with(stop=stop, grace_s=grace_s)

    def _with(self, **changes: Any) -> GPUFunction[P, R]:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, **changes)
        other._look_like(other.__dict__["__wrapped__"])
        return other

    def _look_like(self, function: Callable[..., Any]) -> None:
        """Be used as a Gradio handler: it reads types from `__call__`, and from `__code__` that values are streamed."""

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return GPUFunction.__call__(self, *args, **kwargs)

        self.__dict__["__call__"] = call
        if self.stream:
            for name in ("__code__", "__defaults__", "__kwdefaults__"):
                self.__dict__[name] = getattr(function, name, None)

    def __get__(self, instance: Any, owner: Any = None) -> GPUFunction[..., R]:
        """As a method; the object travels to the worker as the first argument."""
        if instance is None:
            return self
        return self._with(bound=(instance,), __wrapped__=MethodType(self.function, instance))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it on the GPU and return its result, or with `stream=True` an iterator of its values.

        Raises:
            gradio.Error: it could not be done; the title, what happened and what to do, in the visitor's words.
        """
        if control.current() is not None:  # already on the GPU
            result = self.function(*self.bound, *args, **kwargs)
            return result if self.stream or not inspect.isgenerator(result) else _last_of(result)
        if self.stream:
            return self._values(*args, **kwargs)  # type: ignore[return-value]
        return self._value(*args, **kwargs)

    def quote(self, *args: P.args, **kwargs: P.kwargs) -> Quote:
        """What this call would reserve.

        Raises:
            QuotaExceeded: not even the shortest useful call fits what the visitor has left.
            DurationTooLong: not even that fits what one call may reserve.
            UsageError: the arguments cannot be estimated.
        """
        if not settings.on_zero_gpu():
            return Quote()
        size, per_second = self.size or default_size(), factor()
        estimate = self.estimator.estimate((*self.bound, *args), kwargs, size=size, factor=per_second)
        wanted = max(1, math.ceil(estimate.declared_s))
        least = min(max(1, math.ceil(estimate.least_declared_s)), wanted)
        needs = f"This reserves at least {platform.reserved_s(least, size, per_second)} s of GPU time"
        left_s, cap_s = _known(self.left_s), _known(self.cap_s)
        if cap_s is None:
            cap_s = max(plan.cap_s for plan in platform.PLANS.values())
        declared = min(wanted, platform.declared_within(cap_s, size, per_second))
        if declared < least:
            raise DurationTooLong(f"{needs}, and one call of yours may have {int(cap_s)} s.")
        if left_s is not None:
            plenty = platform.declared_within(min(left_s / PLENTY, cap_s), size, per_second)
            declared = max(declared, min(plenty, math.ceil(estimate.ample_declared_s)))
            declared = min(declared, platform.declared_within(left_s, size, per_second))
        if declared < least:
            raise QuotaExceeded(f"{needs} and you have {int(left_s or 0)} s left.")
        return Quote(
            declared,
            platform.reserved_s(declared, size, per_second),
            platform.granted_s(declared, size, per_second),
            shortened=declared < wanted,
        )

    def beats(self, *args: P.args, **kwargs: P.kwargs) -> Iterator[Beat | Outcome]:
        """Make the call: a `Beat` several times a second, and last the `Outcome`.

        Closing the iterator stops the call and frees the GPU. Errors are in the outcome, with what was made until then.
        """
        try:
            quote = self.quote(*args, **kwargs)
            margin_s = None if quote.granted_s is None else self.estimator.margin_s(quote.granted_s)
            call = Call(self.key, (*self.bound, *args), kwargs, quote.declared_s, quote.granted_s, margin_s)
            if self.grace_s > 0:
                call.stop_path = os.path.join(tempfile.gettempdir(), f"zerokit-stop-{uuid.uuid4().hex}")
            if quote.declared_s is not None:
                call.pack()
        except Exception as exc:  # noqa: BLE001  an estimate of the author's own may raise anything
            yield Outcome(None, "interrupted", Usage(), self._refusal(exc))
            return
        usage = Usage(quote.declared_s, quote.reserved_s, quote.granted_s)
        yield from Seam(self.door, call, usage, self.estimator, self.stop, self.grace_s).beats()

    def _refusal(self, error: Exception) -> Exception:
        if is_gradio_error(error):
            return error
        if isinstance(error, ZeroKitError) and not isinstance(error, UsageError):
            return error
        log.error("%s was not called.", self.key, exc_info=error)
        return error if isinstance(error, UsageError) else FunctionFailed("How long it takes could not be estimated.")

    def outcome(self, *args: P.args, **kwargs: P.kwargs) -> Outcome:
        """Make the call and wait for its end: the result with how it ended and what it cost.

        Raises:
            gradio.Error: there is nothing to show for it, or it is what the function itself raised.
        """
        outcome = None
        for beat in self.watched(*args, **kwargs):
            if isinstance(beat, Outcome):
                outcome = beat
        assert outcome is not None  # the last thing of every call
        _raise_failure(outcome)
        return outcome

    def _value(self, *args: Any, **kwargs: Any) -> Any:
        outcome = self.outcome(*args, **kwargs)
        if outcome.ended != "complete":
            tell_cut(outcome)
        return outcome.value

    def _values(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        shown: Any = None
        for beat in self.watched(*args, **kwargs):
            if isinstance(beat, Outcome):
                _raise_failure(beat)
                if beat.value is not None and beat.value is not shown:
                    yield beat.value
                if beat.ended != "complete":
                    tell_cut(beat)
            elif beat.made is not None and beat.made is not shown:
                shown = beat.made
                yield shown

    def watched(self, *args: Any, **kwargs: Any) -> Iterator[Beat | Outcome]:
        """`beats`, with the progress on the page; ends when the visitor is gone, which a plain handler cannot see."""
        beats = self.beats(*args, **kwargs)
        try:
            for beat in beats:
                if isinstance(beat, Beat):
                    show_progress(beat)
                yield beat
        finally:
            beats.close()  # type: ignore[attr-defined]


def _raise_failure(outcome: Outcome) -> None:
    """Raise what went wrong where nothing was made, and always what the function says to the visitor itself."""
    failure = outcome.failure
    if failure is not None and (outcome.value is None or is_gradio_error(failure)):
        raise to_gradio(failure)


def _last_of(generator: Iterator[Any]) -> Any:
    last = None
    for last in generator:
        control.progress(made=last)
    return last


def _known(seconds: float | None) -> float | None:
    """Seconds from 0 up; None where the number says nothing."""
    return None if seconds is None or not math.isfinite(seconds) else max(0.0, seconds)


@overload
def gpu(function: Callable[P, R], /) -> GPUFunction[P, R]: ...
@overload
def gpu(
    function: None = None,
    /,
    *,
    duration: float | timedelta | Callable[..., float | timedelta] | Estimator | None = None,
    size: str | None = None,
    stream: bool = False,
) -> Callable[[Callable[P, R]], GPUFunction[P, R]]: ...
def gpu(
    function: Callable[..., Any] | None = None,
    /,
    *,
    duration: float | timedelta | Callable[..., float | timedelta] | Estimator | None = None,
    size: str | None = None,
    stream: bool = False,
) -> Any:
    """Run a function on the GPU: on ZeroGPU in a worker with a reservation, elsewhere as it is.

    All functions of an app share workers and one copy of the weights. The result comes when it is complete; Stop, a
    closed page, the deadline and a killed worker keep what was made until then.

    Args:
        duration: seconds to declare: a number, a timedelta, a callable of the function's arguments, or an estimator
            such as `Linear`. None: learned from what calls take, from 60 s on. Rounded up to whole seconds.
        size: "large" (half a card, the default) or "xlarge" (a whole card, costs twice).
        stream: give the values of a generator function as they come, not only the last.

    Raises:
        UsageError: it is a coroutine function, or an argument cannot be used.

    Examples:
        >>> @zerokit.gpu(duration=Linear(base_s=2, per={"steps": 0.35}))
        ... def upscale(image, steps=20): ...
    """
    if function is None:
        return functools.partial(_decorate, duration=duration, size=size, stream=stream)
    return _decorate(function, duration=duration, size=size, stream=stream)


def _decorate(function: Callable[..., Any], *, duration: Any, size: str | None, stream: bool) -> GPUFunction[..., Any]:
    if not callable(function):
        raise UsageError(
            f"@zerokit.gpu decorates a function, not {function!r}. For seconds write duration={function!r}."
        )
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise UsageError(
            f"{worker.name_of(function)} is a coroutine, and ZeroGPU runs plain functions only: "
            "write `def`, not `async def`."
        )
    if stream and not inspect.isgeneratorfunction(function):
        raise UsageError(
            f"stream=True shows the values that a function yields, and {worker.name_of(function)} yields none."
        )
    try:
        platform.size(size)
    except ValueError as exc:
        raise UsageError(str(exc)) from exc
    return GPUFunction(function, _estimator(function, duration), size, stream)


def _estimator(function: Callable[..., Any], duration: Any) -> Estimator:
    if duration is None:
        return Learned(worker.name_of(function))
    if isinstance(duration, timedelta):
        return Fixed(duration.total_seconds())
    if isinstance(duration, Real) and not isinstance(duration, bool):
        return Fixed(duration)  # type: ignore[arg-type]  # checked there
    if isinstance(duration, Estimator):
        return duration.bind(function)
    if callable(duration) and not isinstance(duration, type):
        return Declared(duration).bind(function)
    raise UsageError(f"duration is seconds, a timedelta, a function or an estimator, not {duration!r}.")
