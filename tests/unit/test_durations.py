"""What a call declares, and what it is quoted for a visitor with little left."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zerokit
from zerokit.calls import Linear, Outcome, Usage
from zerokit.calls.calibration import Calibration
from zerokit.calls.chat_duration import BatchDuration, ChatDuration
from zerokit.calls.deadline import margin_s
from zerokit.calls.duration import Declared, Estimate, Estimator, Fixed, Learned
from zerokit.errors import DurationTooLong, FunctionFailed, QuotaExceeded, RequestError, UsageError
from zerokit.quota import platform
from zerokit.requests import ChatReply

WAYS = [("large", 1.5), ("large", 1.0), ("xlarge", 1.5)]
seconds = st.floats(0, 300, allow_nan=False)
tokens = st.integers(1, 32_768)
few = settings(deadline=None, max_examples=40)


def chat(prompt_tokens=100, max_new_tokens=512, question="What is it?", rows=1, active_adapters=0, to_load=0.0):
    return SimpleNamespace(
        prompt_tokens=prompt_tokens,
        max_new_tokens=max_new_tokens,
        question=question,
        rows=rows,
        active_adapters=active_adapters,
        to_load=to_load,
    )


def declared(estimator, *args, size="large", factor=1.5, **kwargs):
    return estimator.estimate(args, kwargs, size=size, factor=factor).declared_s


def ran(used_s, cold_s=0.0):
    return Usage(used_s=used_s, cold_s=cold_s, cold=cold_s > 0, ran=True)


def bound(estimator, function=lambda steps=20: None):
    return estimator.bind(function)


def linear(base_s=2.0, per=None, **options):
    return bound(Linear(base_s, {"steps": 0.35} if per is None else per, calibration=Calibration(None), **options))


def chatty(kind=ChatDuration, **options):
    return kind(int(1.5e9), int(3e9), name="chat", calibration=Calibration(None), **options)


@pytest.mark.parametrize(("size", "factor"), WAYS)
@few
@given(base=seconds, per=st.floats(0, 5), steps=st.floats(0, 500), seen=st.lists(seconds, max_size=5))
def test_declared_is_never_under_one_second_and_finite(size, factor, base, per, steps, seen):
    estimator = linear(base, {"steps": per})
    for took in seen:
        estimator.observe((steps,), {}, ran(took), None, True)
    estimate = estimator.estimate((steps,), {}, size=size, factor=factor)
    assert 1 <= estimate.least_declared_s <= estimate.declared_s < 1e6


@few
@given(
    seen=st.lists(st.tuples(tokens, tokens, st.floats(0.1, 100)), max_size=12),
    prompt=st.tuples(tokens, tokens),
    new=st.tuples(tokens, tokens),
    adapters=st.tuples(st.integers(0, 8), st.integers(0, 8)),
)
def test_a_chat_declares_no_less_for_more_of_anything(seen, prompt, new, adapters):
    estimator = chatty()
    for prompt_tokens, new_tokens, took in seen:
        reply = ChatReply("x", prompt_tokens=prompt_tokens, new_tokens=new_tokens)
        work = chat(prompt_tokens, active_adapters=new_tokens % 3, to_load=new_tokens % 2)
        estimator.observe((work,), {}, ran(took), reply, True)
    (p1, p2), (n1, n2), (a1, a2) = sorted(prompt), sorted(new), sorted(adapters)
    assert declared(estimator, chat(p1, n1, "?", 1, a1, a1)) <= declared(estimator, chat(p2, n2, "?", 1, a2, a2))
    batch = chatty(BatchDuration)
    assert declared(batch, chat(p1, n1, "?", 2, a1, a1)) <= declared(batch, chat(p2, n2, "?", 3, a2, a2))


@pytest.mark.parametrize("kind", [ChatDuration, BatchDuration])
def test_adapters_of_a_chat_cost_from_the_first_call_on(kind):
    plain, active = declared(chatty(kind), chat()), declared(chatty(kind), chat(active_adapters=2))
    assert plain < active < 2 * plain
    assert declared(chatty(kind), chat(active_adapters=2, to_load=6)) > active


def test_what_the_adapters_of_a_chat_take_is_learned():
    """Each of them makes a token half as long again, and one that has to be loaded takes a second."""
    estimator = chatty()
    for n in range(40):
        active, loaded, tokens = n % 3, (n // 3) % 2, 50 + 10 * n
        took = 0.01 * tokens * (1 + active / 2) + loaded
        work = chat(1, 512, active_adapters=active, to_load=loaded)
        estimator.observe((work,), {}, ran(took), ChatReply("x", prompt_tokens=1, new_tokens=tokens), True)
    fitted = dict(zip(estimator.kind.timing.names, estimator.kind.timing._fitted, strict=True))
    assert fitted["adapted"] == pytest.approx(0.005, rel=0.1)
    assert fitted["loaded"] == pytest.approx(1.0, rel=0.1)


@few
@given(
    calls=st.lists(st.tuples(st.integers(1, 100), st.floats(0.01, 200)), min_size=1, max_size=20),
    more=st.integers(0, 50),
)
def test_never_below_a_call_that_was_just_seen(calls, more):
    estimator = linear()
    for steps, took in calls:
        estimator.observe((steps,), {}, ran(took), None, True)
    steps, took = calls[-1]
    granted = platform.granted_s(declared(estimator, steps + more), "large", 1.5)
    assert granted - margin_s(granted) >= took


@few
@given(st.lists(st.tuples(st.integers(0, 100), st.floats(0.01, 200)), max_size=20), st.integers(0, 100))
def test_more_steps_never_declare_less(calls, steps):
    estimator = linear()
    for n, took in calls:
        estimator.observe((n,), {}, ran(took), None, True)
    assert declared(estimator, steps) <= declared(estimator, steps + 1)


def test_the_first_call_is_sane():
    first = platform.granted_s(declared(linear(), 20), "large", 1.5)
    assert (2 + 20 * 0.35) + 2 <= first <= 2 * (2 + 20 * 0.35) + 4
    assert 3 <= declared(chatty(), chat()) <= 30  # a 1.5B model, 256 tokens, a cold start
    assert declared(chatty(), chat(max_new_tokens=1)) < declared(chatty(), chat())


@pytest.mark.parametrize("seed", range(4))
def test_close_after_twenty_calls(seed):
    rng = np.random.default_rng(seed)
    estimator = linear()
    ratios = []
    for number in range(120):
        steps = int(rng.integers(4, 60))
        took = (0.8 + 0.12 * steps) * rng.lognormal(0, 0.08)
        forecast = estimator.kind.timing.forecast(estimator.features((steps,), {}))
        if number >= 20:
            ratios.append(forecast / took)
        estimator.observe((steps,), {}, ran(took), None, True)
    assert np.median(ratios) <= 1.5
    assert np.mean(np.array(ratios) >= 1) >= 0.9


@pytest.mark.parametrize("seed", range(3))
def test_a_chat_is_close_after_twenty_calls(seed):
    rng = np.random.default_rng(seed)
    estimator = chatty()
    reserved, needed = [], []
    for number in range(120):
        prompt_tokens, new_tokens = int(rng.integers(20, 3000)), int(min(512, rng.gamma(4, 40)) + 1)
        took = (0.3 + prompt_tokens / 9000 + new_tokens * 0.02) * rng.lognormal(0, 0.05)
        work = chat(prompt_tokens, question=f"question {number}")
        forecast = estimator.kind.timing.forecast(estimator.features((work,), {}))
        if number >= 20:
            reserved.append(forecast)
            needed.append(took)
        reply = ChatReply("x", prompt_tokens=prompt_tokens, new_tokens=new_tokens)
        estimator.observe((work,), {}, ran(took), reply, True)
    covered = np.mean(np.array(reserved) >= needed)
    assert covered >= 0.85  # lengths are the 90th percentile; the deadline catches the rest
    assert np.median(reserved) <= 3 * np.median(needed)


def test_what_no_call_has_had_yet_keeps_its_prior():
    estimator = bound(
        Linear(2, {"steps": 0.1, "extra": 10}, calibration=Calibration(None)), lambda steps, extra=0: None
    )
    for _ in range(30):
        estimator.observe((10,), {}, ran(3.0), None, True)
    assert declared(estimator, 10, 3) - declared(estimator, 10, 0) >= 15


def test_cold_and_warm_calls_are_told_apart():
    estimator = linear(cold_s=7)
    assert estimator.kind.cold.forecast(time.monotonic()) == 7
    estimator.observe((20,), {}, ran(9 + 4, cold_s=4), None, True)
    now = time.monotonic()
    assert estimator.kind.cold.forecast(now) == 0  # the worker is there
    assert estimator.kind.cold.forecast(now + 3600) == pytest.approx(4.8)
    for _ in range(3):
        estimator.observe((20,), {}, ran(9), None, True)
    assert estimator.kind.cold.forecast(time.monotonic()) == 0
    assert estimator.kind.timing.calls[0][1] == pytest.approx(9)  # the cold start is no work


def test_what_the_first_call_of_a_worker_takes_longer_is_expected_of_such_calls_alone():
    """As on a card: 0.5 s until the function begins, and the first call of a worker takes 2.5 s longer than others."""
    estimator = linear(base_s=0.3, per={"steps": 0.01})

    def work_s(steps):
        return 0.2 + 0.05 * steps

    def forecast(steps, first):
        return estimator.kind.timing.forecast({"call": 1, "steps": steps, "first call": first})

    estimator.observe((20,), {}, ran(0.5 + 2.5 + work_s(20), cold_s=0.5), None, True)
    # How much of it was the start, the first call alone does not tell: the next one may take as long.
    assert declared(estimator, 20) >= platform.declared_for(2.5 + work_s(20), "large", 1.5)
    for steps in (20, 10, 30, 20):
        estimator.observe((steps,), {}, ran(work_s(steps)), None, True)
        estimator.kind.cold.lose()
        estimator.observe((steps,), {}, ran(0.5 + 2.5 + work_s(steps), cold_s=0.5), None, True)
    assert work_s(20) <= forecast(20, 0) < work_s(20) + 0.5
    assert 2.5 + work_s(20) <= forecast(20, 1) < 2.5 + work_s(20) + 1.0
    warm = declared(estimator, 20)
    estimator.kind.cold.lose()
    assert declared(estimator, 20) >= platform.declared_for(3.0 + work_s(20), "large", 1.5) > warm


def test_an_argument_may_have_any_name_that_an_argument_can_have():
    estimator = bound(Linear(1, {"first": 1}, calibration=Calibration(None)), lambda first: None)
    assert declared(estimator, 40) - declared(estimator, 4) > 30


def test_a_worker_that_was_gone_after_a_pause_is_expected_gone_after_such_a_pause():
    cold = linear(cold_s=7).kind.cold
    cold.observe(100.0, 99.0, True, 5.0)
    cold.observe(170.0, 160.0, True, 5.0)
    assert cold.forecast(171.0) == 0
    assert cold.forecast(240.0) == 6.0
    cold.observe(180.0, 175.0, False, 0.0)
    assert cold.forecast(184.0) == 0


def test_a_stopped_call_teaches_only_when_it_took_longer():
    estimator = linear()
    estimator.observe((20,), {}, ran(0.5), None, False)
    assert estimator.kind.timing.calls == []
    estimator.observe((20,), {}, ran(50), None, False)
    assert len(estimator.kind.timing.calls) == 1
    estimator.observe((20,), {}, Usage(), None, False)  # refused: nothing ran
    assert len(estimator.kind.timing.calls) == 1


def test_arguments_are_found_by_name_in_the_request_and_among_extras():
    def draw(request, *, scale=2, **more): ...

    estimator = bound(Linear(1, {"steps": 1, "scale": 1, "extra": 1}, calibration=Calibration(None)), draw)
    features = estimator.features((SimpleNamespace(steps=np.int64(7)),), {"extra": 3})
    assert features == {"call": 1.0, "steps": 7.0, "scale": 2.0, "extra": 3.0}


@pytest.mark.parametrize("value", [None, -1, float("nan"), float("inf"), "20", True, 10**400])
def test_an_argument_that_is_no_amount_is_named(value):
    with pytest.raises(UsageError, match="grows with 'steps'"):
        linear().features((value,), {})


def test_an_estimate_that_could_not_be_fitted_is_refused():
    with pytest.raises(UsageError, match="at most 7 arguments"):
        Linear(1, {f"a{i}": 1.0 for i in range(8)})
    for wrong in (-1, float("nan"), "2", None):
        with pytest.raises(UsageError):
            Linear(wrong)
        with pytest.raises(UsageError):
            Linear(1, {"steps": wrong})


def test_nothing_said_is_the_platforms_default_until_it_is_learned():
    for size, factor in WAYS:
        learner = Learned("f", calibration=Calibration(None))
        assert declared(learner, size=size, factor=factor) == 60
        for _ in range(5):
            learner.observe((), {}, ran(4.0), None, True)
        assert declared(learner, size=size, factor=factor) < 15


@few
@given(st.integers(0, 100_000), st.integers(1, 32_768))
def test_lengths_stay_within_what_is_asked(seen, at_most):
    lengths = chatty().kind.lengths
    assert 1 <= lengths.forecast("hello", at_most) <= at_most
    lengths.observe("hello there", seen)
    assert 1 <= lengths.forecast("hello there", at_most) <= at_most


def test_lengths_follow_replies_and_prompts_like_this_one():
    lengths = chatty().kind.lengths
    for number in range(20):
        lengths.observe(f"tell me a story about {number}", 400)
        lengths.observe(f"name the colour of {number}", 10)
    assert 400 <= lengths.forecast("tell me a story about 99", 4096) <= 460
    assert 10 <= lengths.forecast("name the colour of 99", 4096) <= 20
    assert lengths.forecast("something else entirely", 4096) >= 400
    cut = chatty().kind.lengths
    cut.observe("a b c", 100, cut=True)
    assert cut.forecast("a b c", 4096) > 150


class Given(Estimator):
    def __init__(self, wanted, least):
        self.wanted, self.least = wanted, least

    def estimate(self, args, kwargs, *, size, factor):
        return Estimate(self.wanted, self.least)


@pytest.fixture
def on_zero_gpu(monkeypatch):
    """The main process's side as on ZeroGPU; nothing is called there in this module."""
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setattr("zerokit.calls.function.factor", lambda: 1.5)
    monkeypatch.setattr("zerokit.calls.function.default_size", lambda: None)
    monkeypatch.setattr("zerokit.calls.function.open_door", lambda size: None)


def quote_or_refusal(quoted):
    try:
        return quoted.quote()
    except (QuotaExceeded, DurationTooLong) as exc:
        return exc.message


def function(estimator, size=None):
    return zerokit.gpu(duration=estimator, size=size)(lambda *args: None)


@pytest.mark.usefixtures("on_zero_gpu")
@settings(deadline=None, max_examples=150)
@given(
    wanted=st.floats(0, 5000),
    share=st.floats(0, 1),
    left=st.none() | st.floats(-100, 5000) | st.just(float("nan")) | st.just(float("inf")),
    cap=st.none() | st.floats(0, 5000),
    size=st.sampled_from([None, "large", "xlarge"]),
)
def test_a_quote_is_within_the_cap_and_what_is_left(wanted, share, left, cap, size):
    quoted = function(Given(wanted, wanted * share), size).within(left, cap)
    quote = quote_or_refusal(quoted)
    if isinstance(quote, str):
        assert "-" not in quote
        assert "nan" not in quote
        return
    assert quote.declared_s >= 1
    assert quote.reserved_s <= (3600 if cap is None else cap)
    if left is not None and math.isfinite(left):
        assert quote.reserved_s <= left
    assert quote.reserved_s == platform.reserved_s(quote.declared_s, size, 1.5)
    assert quote.granted_s == platform.granted_s(quote.declared_s, size, 1.5)
    assert quote.shortened == (quote.declared_s < max(1, math.ceil(wanted)))


@pytest.mark.usefixtures("on_zero_gpu")
@pytest.mark.parametrize(("left", "said"), [(0, 0), (-5, 0), (0.9, 0), (7.6, 7)])
def test_a_refusal_says_what_is_left(left, said):
    with pytest.raises(QuotaExceeded, match=rf"at least 90 s of GPU time and you have {said} s left\."):
        function(60).within(left).quote()


@pytest.mark.usefixtures("on_zero_gpu")
def test_more_than_one_call_may_have_is_another_refusal():
    with pytest.raises(DurationTooLong, match=r"at least 6000 s .* one call of yours may have 3600 s"):
        function(4000).quote()
    with pytest.raises(DurationTooLong):
        function(60).within(None, 0).quote()


@pytest.mark.usefixtures("on_zero_gpu")
def test_fractions_are_rounded_up_before_the_platform_cuts_them():
    assert function(12.1).quote().declared_s == 13
    assert function(0).quote().declared_s == 1


@pytest.mark.usefixtures("on_zero_gpu")
def test_a_refused_call_is_an_outcome_and_a_sentence():
    refused = function(60).within(10)
    (outcome,) = refused.beats()
    assert isinstance(outcome, Outcome)
    assert (type(outcome.failure), outcome.usage.ran) == (QuotaExceeded, False)
    with pytest.raises(gr.Error, match="you have 10 s left"):
        refused()


@pytest.mark.usefixtures("on_zero_gpu")
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (KeyError("steps"), FunctionFailed),
        (RequestError("Steps is 0."), RequestError),
        (gr.Error("Too many steps"), gr.Error),
    ],
)
def test_an_estimate_that_fails_is_an_outcome(error, kind):
    def duration(*args):
        raise error

    (outcome,) = function(duration).beats(1)
    assert type(outcome.failure) is kind


@pytest.mark.usefixtures("on_zero_gpu")
def test_arguments_that_cannot_travel_cost_no_run():
    (outcome,) = function(5).beats(lambda: 1)
    assert type(outcome.failure) is UsageError
    assert outcome.usage == Usage()


def test_declared_calls_the_authors_callable():
    estimator = Declared(lambda steps, scale=1: steps * scale)
    assert declared(estimator, 4, scale=2) == 8
    with pytest.raises(UsageError, match="own arguments"):
        declared(estimator, 1, 2, 3)
    for wrong in (-1, float("nan"), None, "9", True):
        with pytest.raises(UsageError, match="number of seconds"):
            declared(Declared(lambda wrong=wrong: wrong))
    assert declared(Fixed(3.5)) == 3.5


def test_an_estimator_without_an_estimate_is_named():
    with pytest.raises(UsageError, match="Estimator does not say"):
        declared(Estimator())
