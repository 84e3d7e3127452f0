"""What calls really took, and what the next one will take.

A kind of work is a line through the origin of its features: seconds = b . x, every b >= 0, so a forecast is never
negative and never falls when a feature grows. b is fitted to the last calls, each weighed by its relative error, with
the prior (scaled to those calls) as a weak pull where they say little. What is reserved is the forecast times the
95th percentile of the ratios seen or the highest of the last `LATEST`, and never less than a recent call that asked for
no more.

A call that was ended by its time says how long it took at least. From then on twice that is expected, and again twice
when that does not do either; each call that is done halves it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import tempfile
import threading
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from .. import settings
from .lengths import KEPT_LENGTHS, KEPT_SURPRISES, Lengths

log = logging.getLogger("zerokit")

FILE_VERSION = 1
LARGEST_FILE_BYTES = 16_000_000
KEPT_CALLS = 64
KEPT_COLD = 16
KEPT_PROMISES = 32
SURPRISES = 2
"""So many of these calls were cold against all expectation: from there on every call is taken for one."""
QUANTILE = 0.95
LATEST = 4
"""Calls of which each one's ratio counts: a card that has become slower shows in them long before it does in all."""
CHANGED = 6
MUCH_LESS = 0.6
"""When so many calls in a row took so much less than most before them, or these so much less than they, what was before
is forgotten: it would be reserved for until the last of it is gone."""
RECENT = 8
"""Calls that a forecast may not fall below."""
GROWTH = 2.0
"""How much more is expected than what a call had that ran out of time; a call that is done takes as much back."""
LONGEST_S = 86_400.0
MOST_UNITS = 1e12
LEAST_UNITS = 1e-9
"""Less of something than that is nothing: seconds for each of it could be anything."""


class Timing:
    """The seconds of one kind of work.

    Args:
        prior: seconds per unit of each feature, before any call was seen.
    """

    def __init__(self, prior: Mapping[str, float]) -> None:
        self.names = tuple(prior)
        self.prior = np.array([_seconds(prior[name]) for name in self.names])
        self.calls: list[tuple[tuple[float, ...], float]] = []
        self.least = np.zeros(len(self.names))
        """Seconds per unit that calls which ran out of time let expect."""
        self._fitted = self.prior
        self._margin = 1.0

    def observe(self, features: Mapping[str, float], seconds: float) -> None:
        """Learn from a call: its features (units as in the prior) and the seconds it took."""
        x = self._vector(features)
        if not math.isfinite(seconds) or seconds < 0 or not any(x):
            return
        self.calls = [*self.calls, (x, min(seconds, LONGEST_S))][-KEPT_CALLS:]
        self._fit()
        too_much = float(np.dot(self.least, x)) > GROWTH * seconds
        self.least = self.least / GROWTH if too_much else np.zeros(len(self.names))

    def overran(self, features: Mapping[str, float], seconds: float) -> None:
        """Learn from a call that was not done after so many seconds."""
        x = self._vector(features)
        if not math.isfinite(seconds) or seconds <= 0 or not any(x):
            return
        shape = self._fitted if float(np.dot(self._fitted, x)) > LEAST_UNITS else np.ones(len(self.names))
        expected = GROWTH * min(seconds, LONGEST_S) / float(np.dot(shape, x))
        asked = np.array(x) > 0  # of what it did not ask for, it tells nothing
        self.least = np.maximum(self.least, np.where(asked, shape * expected, 0.0))

    def knows_without(self, name: str) -> bool:
        """Whether a call was seen that had nothing of this feature: only then can its part be told from the rest."""
        at = self.names.index(name)
        return any(not x[at] for x, _ in self.calls)

    def restore(self, rows: Sequence[Sequence[float]], least: Sequence[float] = ()) -> None:
        """Take over calls as a file has them: the features and last the seconds; and the least that is expected."""
        if len(least) == len(self.names):
            self.least = np.array(least, dtype=float)
        for row in rows:
            if len(row) == len(self.names) + 1 and any(row[:-1]):
                self.calls.append((tuple(row[:-1]), min(row[-1], LONGEST_S)))
        self.calls = self.calls[-KEPT_CALLS:]
        if self.calls:
            self._fit()

    def forecast(self, features: Mapping[str, float], *, cautious: bool = True) -> float:
        """Seconds that such a call will probably not exceed.

        Args:
            features: units as in the prior.
            cautious: think of calls that ran out of time.
        """
        x = self._vector(features)
        padding = 1 + 0.5 / (len(self.calls) + 1)
        seconds = [float(np.dot(self._fitted, x)) * self._margin * padding]
        seconds += [seen for other, seen in self.calls[-RECENT:] if _covers(x, other)]
        if cautious:
            seconds.append(float(np.dot(self.least, x)))
        return min(LONGEST_S, max(seconds))

    def _vector(self, features: Mapping[str, float]) -> tuple[float, ...]:
        units = (float(features.get(name, 0.0)) for name in self.names)
        return tuple(min(MOST_UNITS, value) if value >= LEAST_UNITS else 0.0 for value in units)

    def _fit(self) -> None:
        seen = self._fit_to_calls()
        if _has_changed(seen):
            self.calls = self.calls[-CHANGED:]
            seen = self._fit_to_calls()
        self._margin = max(1.0, float(np.quantile(seen, QUANTILE)), float(seen[-LATEST:].max()))

    def _fit_to_calls(self) -> Any:
        """Fit to all calls; what each took against what is expected of it now."""
        x = np.array([call[0] for call in self.calls])
        y = np.array([max(call[1], 1e-3) for call in self.calls])
        expected = x @ self.prior
        told = expected > LEAST_UNITS
        ratios = y[told] / expected[told]
        prior = self.prior * float(np.median(ratios)) if len(ratios) else self.prior
        age = np.arange(len(y))[::-1]
        weight = 0.97**age / y
        pull = math.sqrt(0.1) * x.mean(axis=0) / y.mean()
        rows = np.vstack([x * weight[:, None], np.diag(pull)])
        fitted = _nonnegative_least_squares(rows, np.concatenate([y * weight, pull * prior]))
        self._fitted = np.where(x.any(axis=0), fitted, prior)  # of what no call has had yet, only the prior knows
        return y / np.maximum(x @ self._fitted, 1e-9)


def _has_changed(seen: Any) -> bool:
    """Whether the last calls took so much less, or more, than those before that it is another card, or other work."""
    if len(seen) < 3 * CHANGED:
        return False
    new, old = seen[-CHANGED:], seen[:-CHANGED]
    return bool(new.max() < MUCH_LESS * np.quantile(old, 0.25) or MUCH_LESS * new.min() > np.quantile(old, 0.75))


def _covers(x: Sequence[float], other: Sequence[float]) -> bool:
    return all(mine >= theirs for mine, theirs in zip(x, other, strict=True))


def _nonnegative_least_squares(a: Any, b: Any) -> Any:
    """The exact solution for a handful of columns: the best of the unconstrained ones over all subsets."""
    columns = range(a.shape[1])
    best, least = np.zeros(a.shape[1]), float(np.sum(b**2))
    for count in range(1, a.shape[1] + 1):
        for chosen in combinations(columns, count):
            found = np.linalg.lstsq(a[:, chosen], b, rcond=None)[0]
            if (found < 0).any():
                continue
            error = float(np.sum((a[:, chosen] @ found - b) ** 2))
            if error < least:
                best, least = np.zeros(a.shape[1]), error
                best[list(chosen)] = found
    return best


class Cold:
    """Whether the next call has to load first, and how long that takes.

    A worker stays warm as long as the scheduler leaves it alone, which nobody tells us: after a pause like one that was
    warm lately, warm is expected. A call that comes while others run needs a worker more than they have. Where other
    Spaces want the same cards a worker can be gone at any time: after `SURPRISES` such starts nothing is expected of
    it, until that would have been right again for long.
    """

    def __init__(self, prior_s: float) -> None:
        self.prior_s = _seconds(prior_s)
        self.seconds: list[float] = []
        self.least_s = 0.0
        """What starts that were not over when their time was let expect."""
        self._pauses: list[tuple[float, bool]] = []
        self._running = 0
        self._asked: list[tuple[float, bool]] = []
        """Of the calls that run: when each was asked for, and whether a worker seemed to be there."""
        self._promises: list[bool] = []
        """Of the last calls for which one seemed to be there: whether it was gone."""
        self._there_at: list[float] = []
        """When one worker was last known to be there, when two at a time, and so on."""

    def begin(self, now: float | None = None) -> None:
        """A call begins; `observe` or `leave` ends it."""
        if now is not None:
            self._asked.append((now, self._seems_there(now)))
        self._running += 1

    def leave(self, asked_at: float | None = None) -> None:
        """A call ended that says nothing of its worker, or got none."""
        self._running = max(0, self._running - 1)
        self._take(asked_at)

    def overran(self, seconds: float) -> None:
        """A worker had not started after so many seconds, and was ended."""
        if math.isfinite(seconds) and seconds > 0:
            self.least_s = max(self.least_s, GROWTH * min(seconds, LONGEST_S))
        self.lose()

    def lose(self) -> None:
        """A worker died: which of them is not told, so none is counted on."""
        self._there_at = []

    def observe(self, now: float, asked_at: float, cold: bool, cold_s: float) -> None:
        workers = max(1, self._running)
        if self._take(asked_at):
            self._promises = [*self._promises, cold][-KEPT_PROMISES:]
        self._running = max(0, self._running - 1)
        if self._there_at and workers == 1 and asked_at >= self._there_at[0]:  # of calls that overlap nothing is clear
            self._pauses = [*self._pauses, (asked_at - self._there_at[0], cold)][-KEPT_COLD:]
        self._there_at[:workers] = [now] * workers
        if cold and math.isfinite(cold_s):
            self.seconds = [*self.seconds, min(max(0.0, cold_s), LONGEST_S)][-KEPT_COLD:]
            self.least_s = self.least_s / GROWTH if self.least_s > GROWTH * cold_s else 0.0

    def forecast(self, now: float, *, cautious: bool = True) -> float:
        """Seconds to add to the work of a call made now; `cautious`: think of starts that were not over in time."""
        if self._seems_there(now) and sum(self._promises) < SURPRISES:
            return 0.0
        seconds = 1.2 * max(self.seconds[-4:]) if self.seconds else self.prior_s
        return max(seconds, self.least_s) if cautious else seconds

    def _seems_there(self, now: float) -> bool:
        """Whether a worker should be there that nobody uses, as far as pauses tell."""
        if len(self._there_at) <= self._running:
            return False
        pause = now - self._there_at[self._running]
        cold = [was for length, was in self._pauses[-6:] if length <= pause and was]
        warm = [was for length, was in self._pauses[-6:] if length >= pause * 0.8 and not was]
        return bool(warm or pause < 5.0) and not cold

    def _take(self, asked_at: float | None) -> bool:
        """What seemed so when that call was asked for, and forget it; by its time, for calls end in any order."""
        if not self._asked:
            return False
        nearest = min(self._asked, key=lambda one: abs(one[0] - (one[0] if asked_at is None else asked_at)))
        self._asked.remove(nearest)
        return nearest[1]


class Kind:
    """What is known of one kind of work; guarded by the lock of its `Calibration`."""

    def __init__(self, prior: Mapping[str, float], cold_prior_s: float) -> None:
        self.timing, self.cold, self.lengths = Timing(prior), Cold(cold_prior_s), Lengths()

    def dump(self) -> dict[str, Any]:
        return {
            "features": list(self.timing.names),
            "calls": [[*x, y] for x, y in self.timing.calls],
            "least": self.timing.least.tolist(),
            "cold_s": self.cold.seconds,
            "least_cold_s": self.cold.least_s,
            "lengths": self.lengths.seen,
            "surprises": self.lengths.surprises,
        }

    def load(self, facts: Any) -> None:
        """Take over what a file says, leaving out whatever is not a sane number."""
        if not isinstance(facts, dict) or facts.get("features") != list(self.timing.names):
            return
        self.timing.restore(_numbers_of(facts.get("calls"), rows=True), _numbers_of(facts.get("least")))
        self.cold.seconds = _numbers_of(facts.get("cold_s"))[-KEPT_COLD:]
        self.cold.least_s = next(iter(_numbers_of([facts.get("least_cold_s")])), 0.0)
        self.lengths.seen = [max(1, int(n)) for n in _numbers_of(facts.get("lengths"))][-KEPT_LENGTHS:]
        self.lengths.surprises = [min(5.0, x) for x in _numbers_of(facts.get("surprises"))][-KEPT_SURPRISES:]


class Calibration:
    """All kinds of an app, saved after each call, so that a restarted Space reserves well from its first call.

    Args:
        path: where it is kept; None: in memory only. A file that is broken, or of another version, is left out.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.lock = threading.RLock()
        self._kinds: dict[str, Kind] = {}
        self._is_kept = True
        self._facts = _read(path)

    def kind(self, key: str, prior: Mapping[str, float], cold_prior_s: float) -> Kind:
        with self.lock:
            if key in self._kinds and self._kinds[key].timing.names != tuple(prior):
                key = f"{key} by {', '.join(prior)}"  # another function of that name
            if key not in self._kinds:
                kind = Kind(prior, cold_prior_s)
                kind.load(self._facts.get(key))
                self._kinds[key] = kind
            return self._kinds[key]

    def save(self) -> None:
        """Write the file whole and put it in place at once: a reader never sees half of it."""
        if self.path is None:
            return
        with self.lock:
            kinds = {**self._facts, **{key: kind.dump() for key, kind in self._kinds.items()}}
            text = json.dumps({"version": FILE_VERSION, "kinds": kinds})
            try:
                _write(self.path, text)
                self._is_kept = True
            except OSError as exc:  # a disk that is full now may have room after the next call
                if self._is_kept:
                    log.warning("Durations are not kept between starts: %s cannot be written (%s).", self.path, exc)
                self._is_kept = False


_shared: Calibration | None = None
_shared_lock = threading.Lock()


def shared() -> Calibration:
    """The calibration of this program."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = Calibration(settings.calibration_path())
        return _shared


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=path.name, delete=False, encoding="utf-8") as file:
        try:
            file.write(text)
            file.close()
            os.replace(file.name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(file.name)
            raise


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_FILE_BYTES)  # a file that is cut here is broken, and left out
        facts = json.loads(text)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as exc:
        log.warning("Durations start afresh: %s cannot be read (%s).", path, exc)
        return {}
    if not isinstance(facts, dict) or facts.get("version") != FILE_VERSION:
        return {}
    kinds = facts.get("kinds")
    return kinds if isinstance(kinds, dict) else {}


def _numbers_of(values: Any, *, rows: bool = False) -> list[Any]:
    if not isinstance(values, list):
        return []
    if rows:
        return [row for row in values if isinstance(row, list) and len(_numbers_of(row)) == len(row)]
    return [float(v) for v in values if _is_sane(v)]


def _is_sane(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1e9


def _seconds(value: float) -> float:
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"Seconds are from 0 up, not {value!r}.")
    return float(value)
