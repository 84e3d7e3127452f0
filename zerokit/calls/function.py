"""`@zerokit.gpu`: a function that runs on the GPU, and the main process's side of its calls."""

from __future__ import annotations

import functools
import inspect
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Generic, ParamSpec, TypeVar, overload

from .. import control, errors, settings
from ..control import Progress
from ..errors import GPUError, QuotaExceeded, Stopped, UsageError
from ..quota import platform
from . import worker
from .call import HEARTBEAT_S, Beat, Call, Failure, Outcome, Signal
from .door import default_size, factor, open_door
from .duration import Declared, Estimator, Fixed, Learned
from .parcel import unwrap
from .pump import Ended, Pump
from .refusals import translate
from .usage import Usage

log = logging.getLogger("zerokit")
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Quote:
    """The price of a call before it is made. All None off ZeroGPU, where nothing is reserved."""

    declared_s: int | None = None
    reserved_s: int | None = None
    granted_s: int | None = None
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
        self.key = worker.register(function)
        self._door = open_door(size)

    def within(self, left_s: float | None, cap_s: float | None = None) -> GPUFunction[P, R]:
        """The same function for a visitor who has `left_s` seconds left, and may reserve `cap_s` in one call."""
        return self._with(left_s=left_s, cap_s=cap_s)

    def stopped_by(self, stop: threading.Event) -> GPUFunction[P, R]:
        """The same function; a call of it ends, with what was made until then, when `stop` is set."""
        return self._with(stop=stop)

    def _with(self, **changes: Any) -> GPUFunction[P, R]:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, **changes)
        return other

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it on the GPU and return its result, or with `stream=True` an iterator of its values.

        Raises:
            gradio.Error: it could not be done; the title, what happened and what to do, in the visitor's words.
        """
        if control.current() is not None:  # already on the GPU
            return self.function(*args, **kwargs)
        if self.stream:
            return self._values(*args, **kwargs)  # type: ignore[return-value]
        return self._value(*args, **kwargs)

    def quote(self, *args: P.args, **kwargs: P.kwargs) -> Quote:
        """What this call would reserve.

        Raises:
            QuotaExceeded: not even the shortest useful call fits what the visitor has left.
            RequestError: the arguments cannot be estimated.
        """
        if not settings.on_zero_gpu():
            return Quote()
        size, per_second = self.size or default_size(), factor()
        estimate = self.estimator.estimate(args, kwargs, size=size, factor=per_second)
        wanted = max(1, math.ceil(estimate.declared_s))
        cap = platform.declared_within(self.cap_s or max(p.cap_s for p in platform.PLANS.values()), size, per_second)
        declared = max(1, min(wanted, cap))
        if self.left_s is not None:
            declared = min(declared, platform.declared_within(self.left_s, size, per_second))
        least = min(max(1, math.ceil(estimate.least_declared_s)), wanted)
        if declared < least:
            needs = platform.reserved_s(least, size, per_second)
            raise QuotaExceeded(
                f"This reserves at least {needs} s of GPU time and you have {max(0, int(self.left_s or cap))} s left."
            )
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
        except QuotaExceeded as exc:
            yield Outcome(None, "interrupted", Usage(), exc)
            return
        call = Call(self.key, args, kwargs, quote.declared_s, quote.granted_s)
        yield from _Seam(self, call, quote).beats()

    def outcome(self, *args: P.args, **kwargs: P.kwargs) -> Outcome:
        """Make the call and wait for its end: the result with how it ended and what it cost.

        Raises:
            gradio.Error: there is nothing to show for it.
        """
        outcome = None
        for beat in self._watched(*args, **kwargs):
            if isinstance(beat, Outcome):
                outcome = beat
        assert outcome is not None  # the last thing of every call
        if outcome.failure is not None and outcome.value is None:
            raise to_gradio(outcome.failure)
        return outcome

    def _value(self, *args: Any, **kwargs: Any) -> Any:
        outcome = self.outcome(*args, **kwargs)
        if outcome.ended != "complete":
            _tell_cut(outcome)
        return outcome.value

    def _values(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        shown: Any = None
        for beat in self._watched(*args, **kwargs):
            if isinstance(beat, Outcome):
                if beat.failure is not None:
                    raise to_gradio(beat.failure)
                if beat.value is not None:
                    yield beat.value
            elif beat.made is not None and beat.made is not shown:
                shown = beat.made
                yield shown

    def _watched(self, *args: Any, **kwargs: Any) -> Iterator[Beat | Outcome]:
        """`beats`, with the progress on the page; ends when the visitor is gone, which a plain handler cannot see."""
        beats = self.beats(*args, **kwargs)
        try:
            for beat in beats:
                if isinstance(beat, Beat):
                    show_progress(beat)
                yield beat
        finally:
            beats.close()  # type: ignore[attr-defined]


class _Seam:
    """One call between the page and the door."""

    def __init__(self, function: GPUFunction[Any, Any], call: Call, quote: Quote) -> None:
        self.function, self.call, self.quote = function, call, quote
        self.asked_at = time.monotonic()
        self.pump = Pump(function._door, call)
        self.last: Signal | None = None
        self.made: Any = None

    def beats(self) -> Iterator[Beat | Outcome]:
        self.pump.start()
        closed = True
        try:
            yield self._beat()
            while True:
                news = self.pump.next(HEARTBEAT_S)
                if isinstance(news, Ended):
                    break
                if news is not None:
                    self._take(news)
                if self._is_stopped():
                    self.pump.close()
                    yield self._settle(Outcome(self.made, "stopped", self._usage(), Stopped("You stopped it.")))
                    closed = False
                    return
                if self.last is None or not self.last.final:
                    yield self._beat()
            closed = False
            yield self._settle(self._outcome(news.error))
        finally:
            if closed:
                self.pump.close()
                self._settle(Outcome(self.made, "stopped", self._usage()))

    def _is_stopped(self) -> bool:
        stop = self.function.stop
        return (stop is not None and stop.is_set()) or self.pump.visitor_is_gone()

    def _take(self, signal: Signal) -> None:
        self.last = signal
        if signal.made is not None:
            self.made = unwrap(signal.made)

    def _beat(self) -> Beat:
        now = time.monotonic()
        granted_at = self.call.granted_at
        if self.last is None:
            phase = "waiting" if granted_at is None else "waking"
            return Beat(phase, elapsed_s=now - self.asked_at)  # type: ignore[arg-type]
        left_s = None
        if self.call.granted_s is not None and granted_at is not None:
            left_s = max(0.0, granted_at + self.call.granted_s - now)
        return Beat("running", self.last.progress, self.made, now - self.last.started_at, left_s)

    def _outcome(self, error: Exception | None) -> Outcome:
        last, usage = self.last, self._usage()
        if last is not None and last.final:  # whatever came after it does not matter any more
            if last.failure is None:
                value = unwrap(last.value) if last.value is not None else None
                return Outcome(value, last.ended, usage)
            return Outcome(self.made, last.ended, usage, _rebuild(last.failure, self.function.key))
        if error is None:
            return Outcome(self.made, "interrupted", usage, errors.CallKilled("The GPU call ended without a result."))
        failure = translate(error)
        log.error("%s: %s", self.function.key, failure.message, exc_info=error)
        return Outcome(self.made, "interrupted", usage, failure)

    def _usage(self) -> Usage:
        quote, granted_at, last = self.quote, self.call.granted_at, self.last
        usage = Usage(quote.declared_s, quote.reserved_s, quote.granted_s)
        if last is None:
            queued_s = (granted_at or time.monotonic()) - self.asked_at
            used_s = time.monotonic() - granted_at if granted_at is not None else 0.0
            return replace(usage, queued_s=queued_s, used_s=used_s, ran=granted_at is not None)
        begun_at = min(granted_at, last.started_at) if granted_at is not None else last.started_at
        ended_at = last.ended_at if last.final else time.monotonic()
        return replace(
            usage,
            used_s=ended_at - begun_at,
            cold_s=last.started_at - begun_at,
            queued_s=max(0.0, begun_at - self.asked_at),
            cold=last.cold,
            ran=True,
        )

    def _settle(self, outcome: Outcome) -> Outcome:
        finished = outcome.ended in ("complete", "length") and outcome.failure is None
        self.function.estimator.observe(self.call.args, self.call.kwargs, outcome.usage, outcome.value, finished)
        return outcome


def _rebuild(failure: Failure, key: str) -> Exception:
    log.error("%s failed: %s\n%s", key, failure.message, failure.traceback)
    if failure.kind == "gradio":
        import gradio as gr

        return gr.Error(failure.message, title=failure.title, print_exception=False)
    kind = getattr(errors, failure.kind, GPUError)
    return kind(failure.message)


def to_gradio(error: Exception) -> Exception:
    """The gr.Error that shows `error` to a visitor. Gradio renders messages as HTML, so ours are escaped."""
    import html

    import gradio as gr

    if isinstance(error, gr.Error):
        return error
    if isinstance(error, errors.ZeroKitError):
        shown = gr.Error(html.escape(str(error), quote=False), title=error.title, print_exception=False)
        shown.__cause__ = error
        return shown
    return error


def show_progress(beat: Beat) -> None:
    """Show a beat on the page through Gradio's own progress; outside a Gradio event nothing happens."""
    import gradio as gr

    words = {"waiting": "Waiting for a GPU", "waking": "Waking the GPU", "running": beat.progress.text}[beat.phase]
    if beat.phase == "running" and beat.progress == Progress():
        return
    gr.Progress()(beat.progress.fraction or 0.0, desc=words or None)


def _tell_cut(outcome: Outcome) -> None:
    import gradio as gr

    said = {"deadline": "The reserved GPU time ended first", "stopped": "It was stopped"}
    gr.Warning(
        f"{said.get(outcome.ended, 'It was interrupted')}: this is what was made until then.",
        title="Cut short",
    )


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

    Example:
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
            f"{function.__name__} is a coroutine, and ZeroGPU runs plain functions only: write `def`, not `async def`."
        )
    if stream and not inspect.isgeneratorfunction(function):
        raise UsageError(f"stream=True shows the values that a function yields, and {function.__name__} yields none.")
    try:
        platform.size(size)
    except ValueError as exc:
        raise UsageError(str(exc)) from exc
    return GPUFunction(function, _estimator(function, duration), size, stream)


def _estimator(function: Callable[..., Any], duration: Any) -> Estimator:
    if duration is None:
        return Learned(f"{function.__module__}.{function.__qualname__}")
    if isinstance(duration, timedelta):
        return Fixed(duration.total_seconds())
    if isinstance(duration, int | float) and not isinstance(duration, bool):
        return Fixed(float(duration))
    if isinstance(duration, Estimator):
        return duration.bind(function)
    if callable(duration):
        return Declared(duration)
    raise UsageError(f"duration is seconds, a timedelta, a function or an estimator, not {duration!r}.")
