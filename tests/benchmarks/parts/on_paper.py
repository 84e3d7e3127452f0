"""The estimators taken through a run of calls without any call: what each would have taken is computed."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from types import SimpleNamespace
from typing import Any, Protocol

from zerokit.calls import duration
from zerokit.calls.calibration import Calibration
from zerokit.calls.chat_duration import ChatDuration
from zerokit.calls.duration import Estimator
from zerokit.calls.image_duration import ImageDuration
from zerokit.calls.usage import Usage
from zerokit.quota import platform
from zerokit.requests import ChatReply, ImageReply

from . import image_visits, pace, report, visits

CALLS = 100
FACTOR = platform.SIZES["large"].granted_factor
BEGIN_S, WARM_S = 0.15, 0.03
"""Of the function before its first token or step, and of a warm worker before the function."""
NOISE = 0.04
"""Standard deviation of the logarithm of the seconds that the same work takes."""


CARDS = 0.35
"""Cards differ by up to so much, as a logarithm, between the runs of an image Space."""


@dataclass(frozen=True)
class Work:
    """What one call has to do."""

    asked: Any
    """What the estimator looks at."""
    before_s: float
    """Seconds before the first token or step."""
    each_s: float
    wanted: int
    """Tokens or steps, if time allows."""
    after_s: float = 0.0


class Case(Protocol):
    """A model and its visitors."""

    @property
    def name(self) -> str: ...

    def of_run(self, seed: int) -> Case:
        """With what differs from run to run."""

    def estimator(self) -> Estimator: ...

    def visits(self, seed: int, count: int = CALLS) -> Iterable[Any]: ...

    def work(self, visit: Any) -> Work: ...

    def reply(self, visit: Any, work: Work, made: int) -> Any:
        """What is learned from, after `made` tokens or steps."""


class _Ample(ChatDuration):
    """Reserves for whoever has plenty left."""

    def features(self, args: Any, kwargs: Any) -> dict[str, float]:
        return self.ample_features(args, kwargs)


@dataclass(frozen=True)
class Chats:
    """Other habits of the visitors, or another pace of the model."""

    name: str
    habits: visits.Habits = field(default_factory=visits.Habits)
    token_s: float = pace.TOKEN_S
    ample: bool = False
    """Whether the visitors have plenty left."""

    def of_run(self, seed: int) -> Chats:
        return self

    def estimator(self) -> Estimator:
        kind = _Ample if self.ample else ChatDuration
        return kind(pace.PARAMETERS, 2 * pace.PARAMETERS, name="stand-in", calibration=Calibration(None))

    def visits(self, seed: int, count: int = CALLS) -> Iterable[visits.Visit]:
        return visits.visits(count, seed, self.habits)

    def work(self, visit: visits.Visit) -> Work:
        tokens = visit.earlier_tokens + len(visit.question) + 60
        asked = SimpleNamespace(
            prompt_tokens=tokens,
            max_new_tokens=visit.max_new_tokens,
            question=visit.question,
            active_adapters=0,
            to_load=0,
        )
        wanted = min(visit.natural_tokens, visit.max_new_tokens)
        return Work(asked, BEGIN_S + tokens * pace.READ_S, self.token_s, wanted)

    def reply(self, visit: visits.Visit, work: Work, made: int) -> ChatReply:
        ended = "deadline" if made < work.wanted else "length" if made == visit.max_new_tokens else "complete"
        return ChatReply("", ended=ended, prompt_tokens=work.asked.prompt_tokens, new_tokens=made)


@dataclass(frozen=True)
class Pictures:
    """Other habits of the visitors, or a card that is `speed` times as fast."""

    name: str
    habits: image_visits.Habits = field(default_factory=image_visits.Habits)
    speed: float = 1.0

    def of_run(self, seed: int) -> Pictures:
        """On a card a bit faster or slower. Whole seconds are reserved: where the usual call lies between two of them
        would else decide all runs."""
        return replace(self, speed=self.speed * math.exp(random.Random(f"card {seed}").uniform(-CARDS, CARDS)))

    def estimator(self) -> Estimator:
        return ImageDuration(pace.IMAGE_PARAMETERS, pace.IMAGE_BYTES, name="stand-in", calibration=Calibration(None))

    def visits(self, seed: int, count: int = CALLS) -> Iterable[image_visits.Visit]:
        return image_visits.visits(count, seed, self.habits)

    def work(self, visit: image_visits.Visit) -> Work:
        pixels = visit.width * visit.height
        asked = SimpleNamespace(
            steps_run=visit.steps,
            passes=visit.passes,
            images=visit.images,
            megapixels=pixels / 1e6,
            active_adapters=0,
            to_load=0,
        )
        return Work(
            asked,
            BEGIN_S + pace.PROMPT_S,
            pace.step_s(pixels, visit.images * visit.passes, self.speed),
            visit.steps,
            pace.decode_s(pixels, visit.images, self.speed),
        )

    def reply(self, visit: image_visits.Visit, work: Work, made: int) -> ImageReply:
        pictures: Any = (None,) * visit.images
        ended = "deadline" if made < work.wanted else "complete"
        return ImageReply(pictures, ended=ended, steps=made, steps_asked=work.wanted)


CHATS = (
    Chats("as above, one after the other"),
    Chats("the same, with plenty left", ample=True),
    Chats("no examples clicked", visits.Habits(examples_share=0.0)),
    Chats("mostly examples", visits.Habits(examples_share=0.8)),
    Chats("the same again varies more", visits.Habits(same_again=0.3)),
    Chats("a terse model", visits.Habits(talk=0.5)),
    Chats("a talkative model", visits.Habits(talk=1.6)),
    Chats("a fast card, 10 ms a token", token_s=0.010),
    Chats("a slow card, 60 ms a token", token_s=0.060),
)
PICTURES = (
    Pictures("as above, one after the other"),
    Pictures("all settings changed", image_visits.Habits(as_it_is=0.0)),
    Pictures("mostly left as they are", image_visits.Habits(as_it_is=0.8)),
    Pictures("a distilled model, 2 to 8 steps", image_visits.Habits(few_steps=True)),
    Pictures("a card 3 times as fast", speed=3.0),
    Pictures("a card 3 times as slow", speed=1 / 3),
)


@dataclass(frozen=True)
class Changed:
    """From the call `at` on it is another case; its estimator is not told."""

    name: str
    before: Any
    after: Any
    at: int = CALLS // 2

    def of_run(self, seed: int) -> Changed:
        return replace(self, before=self.before.of_run(seed), after=self.after.of_run(seed))

    def estimator(self) -> Estimator:
        return self.before.estimator()

    def visits(self, seed: int, count: int = CALLS) -> Iterable[Any]:
        yield from islice(self.before.visits(seed, count), self.at)
        yield from islice(self.after.visits(seed, count), self.at, None)

    def work(self, visit: Any) -> Work:
        return self._case(visit).work(visit)

    def reply(self, visit: Any, work: Work, made: int) -> Any:
        return self._case(visit).reply(visit, work, made)

    def _case(self, visit: Any) -> Any:
        return self.before if visit.number < self.at else self.after


CHANGES = {
    "chat": (
        Changed("a card 3 times as slow", CHATS[0], Chats("slow", token_s=3 * pace.TOKEN_S)),
        Changed("answers 3 times as long", CHATS[5], CHATS[6]),
    ),
    "images": (
        Changed("a card 3 times as slow", PICTURES[0], PICTURES[5]),
        Changed("a card 3 times as fast", PICTURES[0], PICTURES[4]),
    ),
}


@dataclass(frozen=True)
class Traced:
    """One call of a run."""

    ratio: float
    """Reserved / used."""
    cut: bool


@dataclass(frozen=True)
class Result:
    """One run: reserved / used after the first calls, and the calls cut in all of it."""

    median: float
    high: float
    cuts: int


def run(case: Case, seed: int, first: int) -> Result:
    """Take a fresh estimator through a run of `CALLS` calls."""
    calls = trace(case, seed)
    later = [call.ratio for call in calls[first:]]
    return Result(report.quantile(later, 0.5), report.quantile(later, 0.95), sum(call.cut for call in calls))


def trace(case: Case, seed: int) -> list[Traced]:
    """The same, call by call."""
    chance, case = random.Random(seed), case.of_run(seed)
    estimator = case.estimator()
    calls: list[Traced] = []
    with hand_clock() as clock:
        for visit in case.visits(seed):
            clock.now += 10 * visit.pause_s
            if visit.after_lull:
                clock.now += chance.uniform(60, 600)
            warm = bool(calls) and not visit.after_lull
            reserved_s, used_s, is_cut = _call(case, estimator, visit, clock, warm, chance)
            calls.append(Traced(reserved_s / used_s, is_cut))
    return calls


def _call(
    case: Case, estimator: Estimator, visit: Any, clock: SimpleNamespace, warm: bool, chance: random.Random
) -> tuple[int, float, bool]:
    """Estimate one call, let its time pass, and tell the estimator what became of it."""
    work = case.work(visit)
    estimate = estimator.estimate((work.asked,), {}, size="large", factor=FACTOR)
    declared_s = max(1, math.ceil(estimate.declared_s))
    granted_s = platform.granted_s(declared_s, "large", FACTOR)
    speed = math.exp(chance.gauss(0, NOISE))
    cold_s = WARM_S if warm else pace.LOADING_S * math.exp(chance.gauss(0, 0.1))
    used_s, made = lived(work, cold_s, speed, granted_s - estimator.margin_s(granted_s))
    clock.now += used_s
    usage = Usage(declared_s, granted_s, granted_s, used_s=used_s, cold_s=cold_s, cold=not warm, ran=True)
    estimator.begin()
    estimator.observe((work.asked,), {}, usage, case.reply(visit, work, made), made == work.wanted)
    return platform.reserved_s(declared_s, "large", FACTOR), used_s, made < work.wanted


def lived(work: Work, cold_s: float, speed: float, end_s: float = math.inf) -> tuple[float, int]:
    """Seconds that a call holds the GPU, and the tokens or steps it makes until it ends by itself at `end_s`."""
    fixed_s, each_s = cold_s + (work.before_s + work.after_s) * speed, work.each_s * speed
    made = work.wanted if math.isinf(end_s) else min(work.wanted, max(1, int((end_s - fixed_s) / each_s)))
    return fixed_s + made * each_s, made


@contextmanager
def hand_clock() -> Iterator[SimpleNamespace]:
    """A clock for the estimators that is moved by hand."""
    clock = SimpleNamespace(now=0.0)
    real, duration.time = duration.time, SimpleNamespace(monotonic=lambda: clock.now)  # type: ignore[attr-defined]
    try:
        yield clock
    finally:
        duration.time = real  # type: ignore[attr-defined]
