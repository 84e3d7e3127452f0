"""One call between the page and the door: beats while it runs, and in the end its outcome."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal

from .. import errors
from ..errors import CallKilled, GPUError, Stopped
from ..requests import Ended as Ending
from .call import HEARTBEAT_S, Beat, Call, Failure, Outcome, Signal
from .duration import Estimator
from .parcel import unwrap
from .pump import Ended, Pump
from .refusals import translate
from .usage import Usage

log = logging.getLogger("zerokit")

KILL_EARLY_S = 0.25
"""How much sooner than the granted seconds the kill may come by this process's clock; who dies earlier was not killed
for the time."""
LOST_AFTER_S = 10.0
"""Past the kill, when no word of it came: `spaces` waits up to 20 minutes for a worker that it could not release."""


class Seam:
    """A call that is being made.

    Args:
        door: takes the call to a worker.
        call: what to do.
        usage: what it declares, reserves and is granted.
        estimator: learns from it.
        stop: ends it when set.
        grace_s: how long the function may then take to give what it has.
    """

    def __init__(
        self,
        door: Callable[[Call], Iterator[Signal]],
        call: Call,
        usage: Usage,
        estimator: Estimator,
        stop: threading.Event | None,
        grace_s: float = 0.0,
    ) -> None:
        self.call, self.usage, self.estimator, self.stop, self.grace_s = call, usage, estimator, stop, grace_s
        self._asked_to_stop_at: float | None = None
        self.asked_at = time.monotonic()
        self.pump = Pump(door, call)
        self.last: Signal | None = None
        self.made: Any = None

    def beats(self) -> Iterator[Beat | Outcome]:
        self.estimator.begin()
        self.pump.start()
        settled = False
        try:
            yield self._beat()
            while (outcome := self._next()) is None:
                yield self._beat()
            outcome = replace(outcome, usage=self._end_of(outcome))
            self._settle(outcome)
            settled = True
            yield outcome
        finally:
            self.call.forget_stop()
            if not settled:
                self.pump.close(then=lambda: self._settle(self._stopped()))

    def _next(self) -> Outcome | None:
        """Wait a heartbeat for news; the outcome if that was the last."""
        news = self.pump.next(HEARTBEAT_S)
        if isinstance(news, Ended):
            return self._outcome(news.error)
        if news is not None:
            self._take(news)
        if self.last is not None and self.last.final:
            self.pump.join()  # so that the next call finds its worker free; whatever else happens does not matter now
            return self._outcome(None)
        if self._is_stopped():
            return self._end(lambda: self._stopped(Stopped("You stopped it.")))
        if self._is_lost():
            return self._end(lambda: self._outcome(None))
        return None

    def _end(self, outcome: Callable[[], Outcome]) -> Outcome:
        self.pump.close()
        for signal in self.pump.rest():
            self._take(signal)
        return self._outcome(None) if self.last is not None and self.last.final else outcome()

    def _is_stopped(self) -> bool:
        """Whether to close the call now: it was stopped and had its time to end by itself, or nobody waits for it."""
        if self.pump.visitor_is_gone():
            return True
        if self.stop is None or not self.stop.is_set():
            return False
        if self.last is None or self.grace_s <= 0:
            return True
        if self._asked_to_stop_at is None:
            self._asked_to_stop_at = time.monotonic()
            self.call.ask_to_stop()
        return time.monotonic() - self._asked_to_stop_at > self.grace_s

    def _is_lost(self) -> bool:
        granted_at, granted_s = self.call.granted_at, self.call.granted_s
        if granted_at is None or granted_s is None:
            return False
        return time.monotonic() > granted_at + granted_s + LOST_AFTER_S

    def _take(self, signal: Signal) -> None:
        self.last = signal
        if signal.made is not None:
            try:
                self.made = unwrap(signal.made)
            except Exception as exc:
                log.warning("%s: what was made so far cannot be read.", self.call.function, exc_info=exc)

    def _beat(self) -> Beat:
        now, granted_at = time.monotonic(), self.call.granted_at
        if self.last is None:
            phase: Literal["waiting", "waking"] = "waiting" if granted_at is None else "waking"
            return Beat(phase, elapsed_s=now - self.asked_at)
        left_s = None
        if self.call.granted_s is not None and granted_at is not None:
            left_s = max(0.0, granted_at + self.call.granted_s - now)
        return Beat("running", self.last.progress, self.made, now - self.last.started_at, left_s)

    def _outcome(self, error: BaseException | None) -> Outcome:
        last, usage = self.last, self._usage()
        if last is not None and last.final:  # whatever came after it does not matter any more
            if last.failure is not None:
                return Outcome(self.made, last.ended, usage, _rebuild(last.failure, self.call.function))
            return self._complete(last, usage)
        if error is None:
            return Outcome(self.made, "interrupted", usage, CallKilled("The GPU call ended without a result."))
        failure = translate(error, granted=self.call.granted_at is not None)
        expected = not isinstance(failure, errors.FunctionFailed | CallKilled | errors.PlatformUnavailable)
        log.log(
            logging.INFO if expected else logging.ERROR,
            "%s: %s",
            self.call.function,
            failure.message,
            exc_info=None if expected else error,
        )
        ended: Ending = "stopped" if isinstance(failure, Stopped) else "interrupted"
        return Outcome(self.made, ended, usage, failure)

    def _complete(self, last: Signal, usage: Usage) -> Outcome:
        try:
            return Outcome(unwrap(last.value) if last.value is not None else None, last.ended, usage)
        except Exception as exc:
            log.error("%s: its result cannot be read.", self.call.function, exc_info=exc)
            failure = errors.BadResult("The function returned something that cannot be read outside the GPU.")
            return Outcome(self.made, "interrupted", usage, failure)

    def _stopped(self, failure: Stopped | None = None) -> Outcome:
        return Outcome(self.made, "stopped", self._usage(), failure)

    def _usage(self) -> Usage:
        now, last = time.monotonic(), self.last
        begun = [] if self.call.granted_at is None else [self.call.granted_at]
        begun += [] if last is None else [last.started_at]
        if not begun:
            return replace(self.usage, queued_s=now - self.asked_at)
        begun_at = min(begun)
        ended_at = last.ended_at if last is not None and last.final else now
        return replace(
            self.usage,
            used_s=max(0.0, ended_at - begun_at),
            cold_s=max(0.0, (last.started_at if last is not None else now) - begun_at),
            queued_s=max(0.0, begun_at - self.asked_at),
            cold=last is not None and last.cold,
            ran=True,
            began=last is not None,
        )

    def _end_of(self, outcome: Outcome) -> Usage:
        """What it cost, and whether time or death ended it."""
        usage = outcome.usage
        lost = usage.ran and isinstance(outcome.failure, CallKilled)
        late = usage.granted_s is not None and usage.used_s >= usage.granted_s - KILL_EARLY_S
        return replace(usage, lost=lost, overran=outcome.ended == "deadline" or (lost and late))

    def _settle(self, outcome: Outcome) -> None:
        finished = outcome.ended in ("complete", "length") and outcome.failure is None
        try:
            self.estimator.observe(self.call.args, self.call.kwargs, outcome.usage, outcome.value, finished)
        except Exception as exc:
            log.warning("%s: nothing was learned from a call.", self.call.function, exc_info=exc)


def _rebuild(failure: Failure, function: str) -> Exception:
    if failure.kind == "gradio":
        import gradio as gr

        log.info("%s said: %s\n%s", function, failure.message, failure.traceback)
        return gr.Error(
            failure.message,
            duration=failure.duration_s,
            visible=failure.visible,
            title=failure.title,
            print_exception=False,
        )
    log.error("%s failed: %s\n%s", function, failure.message, failure.traceback)
    kind = getattr(errors, failure.kind, GPUError)
    return kind(failure.message)
