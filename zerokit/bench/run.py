"""A load on an app: visitors of several plans who ask, read and ask again, on the local ZeroGPU."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Literal

from ..emulator.records import Call
from ..errors import UsageError
from ..quota.platform import plan
from ..testing import Space, Visitor
from . import inputs
from .inputs import Endpoint, Values

How = Literal["served", "cut", "refused", "killed", "failed"]
MOST_VISITORS, MOST_MINUTES = 64, 24 * 60
TRIED = 8
"""Endpoints that are tried where none is named."""


@dataclass(frozen=True)
class Load:
    """Who comes, for how long.

    Args:
        tiers: the visitors' plans.
        visitors: of each of them at a time; who is refused has gone for the day, and another one comes.
        minutes: real ones.
        gpus: how many calls can run at a time.
        pause_s: between an answer and the next question, on average.
        seed: of the pauses.

    Raises:
        UsageError: a number or a plan that makes no sense.
    """

    tiers: tuple[str, ...] = ("anonymous", "free", "pro")
    visitors: int = 2
    minutes: float = 1.0
    gpus: int = 1
    pause_s: float = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.tiers or len(set(self.tiers)) < len(self.tiers):
            raise UsageError("Name each plan once, and one at least.")
        for tier in self.tiers:
            try:
                plan(tier)
            except ValueError as exc:
                raise UsageError(str(exc)) from exc
        for name, value, low, high in (
            ("visitors", self.visitors, 1, MOST_VISITORS),
            ("minutes", self.minutes, 0, MOST_MINUTES),
            ("GPUs", self.gpus, 1, 64),
            ("seconds of a pause", self.pause_s, 0, 3600),
        ):
            if not low <= value <= high:
                raise UsageError(f"The number of {name} is from {low} to {high}, not {value!r}.")


@dataclass(frozen=True)
class Visit:
    """One question, and what became of it."""

    tier: str
    how: How
    took_s: float
    """From the click to the answer, as the visitor sees it."""
    calls: tuple[Call, ...] = ()
    said: str = ""
    """What the visitor was told, where there was no answer."""


@dataclass(frozen=True)
class Measured:
    """All visits of a load."""

    app: str
    api: str
    load: Load
    seconds: float
    visits: tuple[Visit, ...] = field(default=(), repr=False)


def measure(
    app: Path,
    load: Load,
    *,
    api: str | None = None,
    values: Sequence[Values] = (),
    told: Callable[[str], None] = lambda text: None,
) -> Measured:
    """Run an app under a load.

    Args:
        app: its file, or the Space's folder.
        load: who comes.
        api: the endpoint that is called; None: the first that uses a GPU.
        values: what is asked, in turn; none: what the app's schema says.
        told: is given what goes on.

    Raises:
        UsageError: there is no such app or endpoint, it does not take the values, or none uses a GPU.
        RuntimeError: the app ended, or did not answer in time.
    """
    with Space(app, model=None, gpus=load.gpus) as space:
        first = space.visitor("enterprise:first")
        found = inputs.endpoints(first.client.view_api(return_format="dict", print_info=False))
        endpoint, asked = _found(first, found) if api is None else _named(first, found, api, values)
        for one in values:
            endpoint.check(one)
        told(f"{endpoint.name} of {app}, with {list(asked)}: {load.visitors} at a time of {', '.join(load.tiers)}")
        begun_at = time.monotonic()
        visits = _crowd(space, endpoint, list(values) or [asked], load)
        return Measured(str(app), endpoint.name, load, time.monotonic() - begun_at, tuple(visits))


def _named(first: Visitor, found: Sequence[Endpoint], api: str, values: Sequence[Values]) -> tuple[Endpoint, Values]:
    endpoint = inputs.chosen(found, api)
    asked = values[0] if values else endpoint.filled()
    if asked is None:
        endpoint.check({})
    endpoint.check(asked or {})
    visit = ask(first, endpoint, asked or {})
    if not visit.calls:
        raise UsageError(f"{endpoint.name} makes no GPU call{f': {visit.said}' if visit.said else '.'}")
    return endpoint, asked or {}


def _found(first: Visitor, found: Sequence[Endpoint]) -> tuple[Endpoint, Values]:
    for endpoint, values in islice(inputs.candidates(found), TRIED):
        if ask(first, endpoint, values).calls:
            return endpoint, values
    names = ", ".join(endpoint.name for endpoint in found) or "none"
    raise UsageError(f"No endpoint made a GPU call when it was tried ({names}). Name one with --api and --input.")


def _crowd(space: Space, endpoint: Endpoint, values: Sequence[Values], load: Load) -> list[Visit]:
    ends_at = time.monotonic() + 60 * load.minutes
    seats = [
        _Seat(space, endpoint, islice(cycle(values), number, None), tier, number, load)
        for number, tier in enumerate(tier for tier in load.tiers for _ in range(load.visitors))
    ]
    threads = [threading.Thread(target=seat.fill, args=(ends_at,), name="zerokit-bench") for seat in seats]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [visit for seat in seats for visit in seat.visits]


class _Seat:
    """One visitor at a time, and who comes after."""

    def __init__(
        self, space: Space, endpoint: Endpoint, values: Iterator[Values], tier: str, number: int, load: Load
    ) -> None:
        self._space, self._endpoint, self._values, self._tier = space, endpoint, values, tier
        self._number, self._pause_s = number, load.pause_s
        self._chance = random.Random(f"{load.seed} {number}")
        self.visits: list[Visit] = []

    def fill(self, ends_at: float) -> None:
        """Ask until then; the first question of all is asked in any case."""
        come = 0
        visitor = self._visitor(come)
        while not self.visits or time.monotonic() < ends_at:
            visit = ask(visitor, self._endpoint, next(self._values), self._tier)
            self.visits.append(visit)
            if visit.how == "refused":
                come += 1
                visitor = self._visitor(come)
            time.sleep(max(0.0, min(self._chance.uniform(0, 2 * self._pause_s), ends_at - time.monotonic())))

    def _visitor(self, come: int) -> Visitor:
        return self._space.visitor(f"{self._tier}:bench-{self._number}-{come}")


def ask(visitor: Visitor, endpoint: Endpoint, values: Values, tier: str = "") -> Visit:
    """Ask once, in a conversation of its own: an app may keep one for each session."""
    visitor.client.reset_session()
    before, asked_at = len(visitor.calls), time.monotonic()
    said, answer = "", None
    try:
        answer = visitor.call(endpoint.name, **values)
    except Exception as exc:  # noqa: BLE001  whatever an app answers is a visit that failed, and is told
        said = " ".join(str(exc).split())[:200] or type(exc).__name__
    took_s = time.monotonic() - asked_at
    calls = tuple(visitor.calls[before:])
    return Visit(tier, _how(said, answer, calls), took_s, calls, said)


def _how(said: str, answer: Any, calls: Sequence[Call]) -> How:
    if any(call.outcome in ("killed", "lost") for call in calls):
        return "killed"
    if any(call.refused or call.outcome == "queue-timeout" for call in calls):
        return "refused"
    if said:
        return "failed" if calls else "refused"  # refused by the app itself, before it asked for a GPU
    return "cut" if _is_cut(answer) else "served"


def _is_cut(answer: Any) -> bool:
    """Whether an answer says of itself that its time ended, as ZeroKit's do."""
    parts = answer if isinstance(answer, list | tuple) else [answer]
    return any(isinstance(part, dict) and part.get("ended") == "deadline" for part in parts)
