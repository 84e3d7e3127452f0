"""From a call's arguments to the seconds it declares."""

from __future__ import annotations

import inspect
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from numbers import Real
from typing import Any

from ..errors import UsageError
from ..quota import platform
from . import calibration
from .calibration import Calibration, Cold, Kind
from .deadline import declared_for_work, margin_s
from .usage import Usage

log = logging.getLogger("zerokit")

LOADING_BYTES_PER_S = 2e9
"""Weights from disk to the card, until a cold start has been seen; an assumption, corrected by the first one."""
MAX_FEATURES = 8
"""An exact fit looks at all subsets of them."""
COLD_START_S = 2.0
"""Starting a worker, before any weights; an assumption, corrected by the first cold start."""
FIRST_CALL = "first call"
"""The feature of a worker's first call, which loads the libraries and the kernels that it computes with; the name is
none that an argument can have."""
FIRST_CALL_S = 1.5
"""How much longer such a call takes than the same one later; an assumption, corrected by the first of them."""


@dataclass(frozen=True)
class Estimate:
    """What a call should declare, in seconds, and the least with which it is of use."""

    declared_s: float
    least_declared_s: float
    ample_declared_s: float = 0.0
    """For a visitor who has plenty left, where that is more: what is not used costs nothing then."""


class Estimator:
    """How many seconds a function's calls declare."""

    def bind(self, function: Callable[..., Any]) -> Estimator:
        """The estimator for this function."""
        return self

    def estimate(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, size: str | None, factor: float | None
    ) -> Estimate:
        raise UsageError(f"{type(self).__name__} does not say how long a call takes: give it an `estimate` method.")

    def margin_s(self, granted_s: float) -> float:
        """Seconds before the end of what is granted at which a call ends by itself."""
        return margin_s(granted_s)

    def begin(self) -> None:
        """A call is made; `observe` follows when it is over."""

    def observe(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], usage: Usage, value: Any, finished: bool
    ) -> None:
        """Learn from a call that is over; `value` is what it gave, `finished` whether it came to its own end."""


class Fixed(Estimator):
    """The same seconds for each call."""

    def __init__(self, seconds: float) -> None:
        self.seconds = _checked(seconds)

    def estimate(self, args: Any, kwargs: Any, *, size: str | None, factor: float | None) -> Estimate:
        return Estimate(self.seconds, self.seconds)


class Declared(Estimator):
    """Seconds from a callable of the function's arguments, as `spaces.GPU` takes one."""

    def __init__(self, function: Callable[..., float | timedelta]) -> None:
        self.function = function

    def bind(self, function: Callable[..., Any]) -> Estimator:
        """Refuse at once a callable that no call of the function can fit."""
        problem = None
        for args, kwargs in _shapes(function):
            try:
                inspect.signature(self.function).bind(*args, **kwargs)
                return self
            except TypeError as exc:
                problem = exc
            except ValueError:  # a callable without a signature is asked when the call comes
                return self
        if problem is None:
            return self
        raise UsageError(f"The duration callable must take the function's own arguments: {problem}.")

    def estimate(self, args: Any, kwargs: Any, *, size: str | None, factor: float | None) -> Estimate:
        try:
            inspect.signature(self.function).bind(*args, **kwargs)
        except TypeError as exc:
            raise UsageError(f"The duration callable must take the function's own arguments: {exc}.") from exc
        except ValueError:
            log.debug("The duration callable has no signature to check.")
        seconds = self.function(*args, **kwargs)
        if isinstance(seconds, timedelta):
            seconds = seconds.total_seconds()
        seconds = _checked(seconds)
        return Estimate(seconds, seconds)


class Linear(Estimator):
    """Seconds that grow with the arguments, corrected by what calls really take.

    Args:
        base_s: seconds of work of any call, the cold start apart.
        per: seconds for each unit of an argument, or of an attribute of the first argument (a request's field).
        cold_s: seconds of a cold start.
        name: under which it is learned; by default the function's.
        calibration: where it is learned; by default the program's own.

    Examples:
        >>> Linear(base_s=2, per={"steps": 0.35})
    """

    def __init__(
        self,
        base_s: float,
        per: Mapping[str, float] | None = None,
        *,
        cold_s: float = COLD_START_S,
        name: str = "",
        calibration: Calibration | None = None,
    ) -> None:
        self.prior = {
            "call": _checked(base_s),
            **{key: _checked(value) for key, value in (per or {}).items()},
        }
        if len(self.prior) > MAX_FEATURES:
            raise UsageError(
                f"An estimate grows with at most {MAX_FEATURES - 1} arguments, not with {len(self.prior) - 1}."
            )
        self.prior[FIRST_CALL] = FIRST_CALL_S
        self.cold_s, self.name = _checked(cold_s), name
        self._calibration = calibration
        self._signature: inspect.Signature | None = None

    def bind(self, function: Callable[..., Any]) -> Estimator:
        bound = object.__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound.name = self.name or f"{function.__module__}.{function.__qualname__}"
        bound._signature = inspect.signature(function)
        return bound

    def estimate(self, args: Any, kwargs: Any, *, size: str | None, factor: float | None) -> Estimate:
        with self.calibration.lock:
            kind, now = self.kind, time.monotonic()
            cold_s = kind.cold.forecast(now)
            first = {FIRST_CALL: float(cold_s > 0 or not kind.timing.knows_without(FIRST_CALL))}
            work_s = cold_s + kind.timing.forecast({**self.features(args, kwargs), **first})
            ample_s = cold_s + kind.timing.forecast({**self.ample_features(args, kwargs), **first})
            # What only may be needed refuses nobody: a call that gets less still shows how long it takes.
            shortest_s = kind.timing.forecast({**self.least_features(args, kwargs), **first}, cautious=False)
            least_s = min(work_s, shortest_s + kind.cold.forecast(now, cautious=False))
        return Estimate(*(declared_for_work(s, size, factor, self.margin_s) for s in (work_s, least_s, ample_s)))

    def begin(self) -> None:
        with self.calibration.lock:
            self.kind.cold.begin(time.monotonic())

    def observe(self, args: Any, kwargs: Any, usage: Usage, value: Any, finished: bool) -> None:
        with self.calibration.lock:
            kind = self.kind
            _observe_start(kind.cold, usage)
            if not usage.ran:
                return
            if usage.began:
                self._observe_work(kind, args, kwargs, usage, value, finished)
                self.learn(kind, args, value, finished)
            self.calibration.save()

    def _observe_work(self, kind: Kind, args: Any, kwargs: Any, usage: Usage, value: Any, finished: bool) -> None:
        first = {FIRST_CALL: float(usage.cold)}
        asked, did = {**self.features(args, kwargs), **first}, self.observed_features(args, kwargs, value)
        did = did and {**did, **first}
        overran = usage.overran or _is_cut(value)
        if overran and did in (None, asked):  # how much of it was done, nobody knows
            kind.timing.overran(asked, usage.work_s)
        elif did is not None and (finished or usage.work_s > kind.timing.forecast(did, cautious=False)):
            kind.timing.observe(did, usage.work_s)

    @property
    def calibration(self) -> Calibration:
        return self._calibration or calibration.shared()

    @property
    def kind(self) -> Kind:
        return self.calibration.kind(self.name, self.prior, self.cold_s)

    def features(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, float]:
        """Units of each kind of work that this call asks for."""
        values: dict[str, Any] = dict(kwargs)
        if self._signature is not None:
            bound = self._signature.bind(*args, **kwargs)
            bound.apply_defaults()
            values = {**dict(bound.arguments), **bound.kwargs}
        first = args[0] if args else next(iter(values.values()), None)
        return {
            "call": 1.0,
            **{key: _units(key, values, first) for key in self.prior if key not in ("call", FIRST_CALL)},
        }

    def least_features(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, float]:
        """Units of the shortest call that is still of use."""
        return self.features(args, kwargs)

    def ample_features(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, float]:
        """Units for a visitor who has plenty left: no fewer than for others."""
        return self.features(args, kwargs)

    def observed_features(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], value: Any
    ) -> dict[str, float] | None:
        """Units that the call really did; None when that cannot be told."""
        return self.features(args, kwargs)

    def learn(self, kind: Kind, args: tuple[Any, ...], value: Any, finished: bool) -> None:
        """Learn more than seconds."""


class Learned(Linear):
    """For a function that says nothing: the platform's default of 60 s, corrected by what calls take."""

    def __init__(self, name: str, *, calibration: Calibration | None = None) -> None:
        wall_s = platform.granted_s(platform.DEFAULT_DECLARED_S) / 1.5  # the padding of a first call
        super().__init__(wall_s - COLD_START_S - FIRST_CALL_S, name=name, calibration=calibration)

    def estimate(self, args: Any, kwargs: Any, *, size: str | None, factor: float | None) -> Estimate:
        with self.calibration.lock:
            timing = self.kind.timing
            if not timing.calls and not timing.least.any():  # nothing is known but what the platform takes
                return Estimate(platform.DEFAULT_DECLARED_S, platform.DEFAULT_DECLARED_S)
        return super().estimate(args, kwargs, size=size, factor=factor)


def _is_cut(value: Any) -> bool:
    """Whether a result, or one of several, says itself that its time ended."""
    return any(getattr(one, "ended", None) == "deadline" for one in (value if isinstance(value, list) else [value]))


def _observe_start(cold: Cold, usage: Usage) -> None:
    now = time.monotonic()
    asked_at = now - usage.used_s - usage.queued_s
    if usage.ran and usage.began:
        cold.observe(now, asked_at, usage.cold, usage.cold_s)
    else:
        cold.leave(asked_at)
    if usage.overran and not usage.began:
        cold.overran(usage.used_s if usage.granted_s is None else usage.granted_s)
    if usage.lost:
        cold.lose()


def _units(name: str, values: Mapping[str, Any], first: Any) -> float:
    value: Any = values[name] if name in values else getattr(first, name, None)
    if not _is_amount(value):
        raise UsageError(
            f"The estimate grows with {name!r}, and in this call that is {value!r}, not a number from 0 up."
        )
    return float(value)


def _checked(seconds: Any) -> float:
    if not _is_amount(seconds):
        raise UsageError(f"A duration is a number of seconds from 0 up, not {seconds!r}.")
    return float(seconds)


def _is_amount(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(value) and float(value) >= 0
    except OverflowError:  # a whole number beyond all floats
        return False


def _shapes(function: Callable[..., Any]) -> list[tuple[list[None], dict[str, None]]]:
    """The arguments of the longest and of the shortest call of a function; [] where its signature is not known."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    named = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    return [
        ([None] * len(positional), {p.name: None for p in named}),
        (
            [None] * sum(p.default is p.empty for p in positional),
            {p.name: None for p in named if p.default is p.empty},
        ),
    ]
