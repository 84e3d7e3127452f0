"""The estimator of ZeroChat taken through a run of calls without any call: what each would have taken is computed."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

from zerokit.calls import duration
from zerokit.calls.calibration import Calibration
from zerokit.calls.chat_duration import ChatDuration
from zerokit.calls.usage import Usage
from zerokit.quota import platform
from zerokit.requests import ChatReply

from . import pace, report
from .visits import Habits, Visit, visits

CALLS = 100
FACTOR = platform.SIZES["large"].granted_factor
BEGIN_S, WARM_S = 0.15, 0.03
"""Of the function before the first token, and of a warm worker before the function."""
NOISE = 0.04
"""Standard deviation of the logarithm of the seconds that the same work takes."""


@dataclass(frozen=True)
class Case:
    """Other habits of the visitors, or another pace of the model."""

    name: str
    habits: Habits = field(default_factory=Habits)
    token_s: float = pace.TOKEN_S


CASES = (
    Case("as above, one after the other"),
    Case("no examples clicked", Habits(examples_share=0.0)),
    Case("mostly examples", Habits(examples_share=0.8)),
    Case("the same again varies more", Habits(same_again=0.3)),
    Case("a terse model", Habits(talk=0.5)),
    Case("a talkative model", Habits(talk=1.6)),
    Case("a fast card, 10 ms a token", token_s=0.010),
    Case("a slow card, 60 ms a token", token_s=0.060),
)


@dataclass(frozen=True)
class Question:
    """What the estimator looks at."""

    prompt_tokens: int
    max_new_tokens: int
    question: str


@dataclass(frozen=True)
class Result:
    """One run: reserved / used after the first calls, and the calls cut in all of it."""

    median: float
    high: float
    cuts: int


def run(case: Case, seed: int, first: int) -> Result:
    """Take a fresh estimator through a run of `CALLS` calls."""
    chance = random.Random(seed)
    estimator = ChatDuration(pace.PARAMETERS, 2 * pace.PARAMETERS, name="stand-in", calibration=Calibration(None))
    ratios, cuts, warm = [], 0, False
    with _clock() as clock:
        for visit in visits(CALLS, seed, case.habits):
            clock.now += 10 * visit.pause_s
            if visit.after_lull:
                clock.now += chance.uniform(60, 600)
                warm = False
            reserved_s, used_s, is_cut = _call(case, estimator, visit, clock, warm, chance)
            warm = True
            ratios.append(reserved_s / used_s)
            cuts += is_cut
    later = ratios[first:]
    return Result(report.quantile(later, 0.5), report.quantile(later, 0.95), cuts)


def _call(
    case: Case, estimator: ChatDuration, visit: Visit, clock: SimpleNamespace, warm: bool, chance: random.Random
) -> tuple[int, float, bool]:
    """Estimate one call, let its time pass, and tell the estimator what became of it."""
    question = Question(visit.earlier_tokens + len(visit.question) + 60, visit.max_new_tokens, visit.question)
    estimate = estimator.estimate((question,), {}, size="large", factor=FACTOR)
    declared_s = max(1, math.ceil(estimate.declared_s))
    granted_s = platform.granted_s(declared_s, "large", FACTOR)
    speed = math.exp(chance.gauss(0, NOISE))
    cold_s = WARM_S if warm else pace.LOADING_S * math.exp(chance.gauss(0, 0.1))
    fixed_s = cold_s + (BEGIN_S + question.prompt_tokens * pace.READ_S) * speed
    token_s = case.token_s * speed
    wanted = min(visit.natural_tokens, visit.max_new_tokens)
    end_s = granted_s - estimator.margin_s(granted_s)
    made = min(wanted, max(1, int((end_s - fixed_s) / token_s)))
    used_s = fixed_s + made * token_s
    clock.now += used_s
    ended = "deadline" if made < wanted else "length" if wanted == visit.max_new_tokens else "complete"
    reply = ChatReply("", ended=ended, prompt_tokens=question.prompt_tokens, new_tokens=made)
    usage = Usage(declared_s, granted_s, granted_s, used_s=used_s, cold_s=cold_s, cold=not warm, ran=True)
    estimator.begin()
    estimator.observe((question,), {}, usage, reply, made == wanted)
    return platform.reserved_s(declared_s, "large", FACTOR), used_s, made < wanted


@contextmanager
def _clock() -> Iterator[SimpleNamespace]:
    """A clock for the estimator that is moved by hand."""
    clock = SimpleNamespace(now=0.0)
    real, duration.time = duration.time, SimpleNamespace(monotonic=lambda: clock.now)  # type: ignore[attr-defined]
    try:
        yield clock
    finally:
        duration.time = real  # type: ignore[attr-defined]
