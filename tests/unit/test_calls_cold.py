"""Whether the next call finds a worker that has loaded, and what calls teach that were not done in time."""

from __future__ import annotations

import time
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zerokit.calls import Linear, Usage
from zerokit.calls.calibration import Calibration, Cold
from zerokit.calls.chat_duration import BatchDuration, ChatDuration
from zerokit.calls.duration import Learned
from zerokit.calls.image_duration import ImageDuration
from zerokit.quota import platform
from zerokit.requests import ChatReply, ImageReply

few = settings(deadline=None, max_examples=40)


def test_a_call_beside_others_needs_a_worker_more():
    cold = Cold(7.0)
    cold.begin()
    cold.observe(100.0, 90.0, True, 4.0)
    assert cold.forecast(101.0) == 0
    cold.begin()  # the one worker is busy now
    assert cold.forecast(102.0) == 4.8
    cold.begin()
    cold.observe(110.0, 102.0, True, 4.0)
    cold.observe(111.0, 101.0, False, 0.0)
    cold.begin()
    assert cold.forecast(112.0) == 0  # there were two
    cold.begin()
    assert cold.forecast(112.0) == 4.8


def test_a_cold_start_beside_others_says_nothing_of_pauses():
    cold = Cold(7.0)
    cold.observe(100.0, 90.0, True, 4.0)
    cold.begin()
    cold.begin()
    cold.observe(120.0, 103.0, True, 4.0)
    cold.observe(121.0, 102.0, False, 0.0)
    assert cold.forecast(125.0) == 0


def test_a_call_that_got_no_worker_holds_none():
    estimator = Linear(1, cold_s=7, calibration=Calibration(None)).bind(lambda: None)
    for _ in range(3):
        estimator.begin()
        estimator.observe((), {}, Usage(), None, False)
    estimator.begin()
    estimator.observe((), {}, Usage(used_s=5, cold_s=4, cold=True, ran=True), None, True)
    assert len(estimator.kind.cold._there_at) == 1


def killed(granted_s, *, began=False, used_s=None, cold_s=0.0):
    """A call that had all it was granted, and was not done."""
    used_s = granted_s if used_s is None else used_s
    cold_s = cold_s if began else used_s
    return Usage(1, 1, granted_s, used_s=used_s, cold_s=cold_s, ran=True, began=began, overran=True, lost=True)


def linear(**options):
    return Linear(1, cold_s=2, calibration=Calibration(None), **options).bind(lambda: None)


def granted(estimator, *args):
    declared_s = estimator.estimate(args, {}, size="large", factor=1.5).declared_s
    return platform.granted_s(declared_s, "large", 1.5)


@pytest.mark.parametrize("start_s", [3.0, 10.0, 45.0, 300.0])
def test_a_start_that_outlasts_its_reservation_gets_more_until_it_fits(start_s):
    """And soon: each time at least twice as much, and never much more than it takes."""
    estimator, had = linear(), []
    while (got := granted(estimator)) < start_s + 1:
        had.append(got)
        estimator.begin()
        estimator.observe((), {}, killed(got), None, False)
    assert all(later >= 2 * earlier for earlier, later in pairwise([*had, got]))
    assert got < 2.5 * (start_s + 1) + 5
    estimator.begin()
    estimator.observe((), {}, Usage(1, 1, got, start_s + 1, start_s, cold=True, ran=True), None, True)
    assert granted(estimator) < 6  # warm
    estimator.kind.cold.lose()
    assert start_s < granted(estimator) < 1.5 * start_s + 6


def test_a_start_that_was_slow_once_is_forgotten():
    estimator = linear()
    estimator.observe((), {}, killed(40), None, False)
    seen = []
    for _ in range(8):
        seen.append(granted(estimator))
        estimator.observe((), {}, Usage(used_s=4, cold_s=3, cold=True, ran=True), None, True)
        estimator.kind.cold.lose()
    assert seen[0] > 80
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] < 9


def test_nobody_is_refused_for_what_may_be_needed():
    estimator = linear()
    before = estimator.estimate((), {}, size="large", factor=1.5).least_declared_s
    for got in (8, 16, 32, 64, 128, 3600):
        estimator.observe((), {}, killed(got), None, False)
        estimator.observe((), {}, killed(got, began=True), None, False)
    after = estimator.estimate((), {}, size="large", factor=1.5)
    assert after.least_declared_s == before
    assert after.declared_s > 4800


@pytest.mark.parametrize(
    "usage",
    [
        Usage(granted_s=9),
        Usage(granted_s=9, used_s=8, cold_s=8, ran=True, began=False),
        Usage(granted_s=9, used_s=8, cold_s=8, ran=True, began=False, lost=True),
        Usage(granted_s=9, used_s=8, cold_s=0.1, ran=True, lost=True),
    ],
    ids=["refused", "stopped while it woke", "died while it woke", "died at work"],
)
def test_what_was_ended_by_something_else_says_nothing_of_seconds(usage):
    reply = ChatReply("so far", prompt_tokens=5, new_tokens=40)
    for estimator, args in ((linear(), ()), (chatty(), (WORK,))):
        before = granted(estimator, *args)
        for value in (None, reply if usage.began and args else None):
            estimator.begin()
            estimator.observe(args, {}, usage, value, False)
        kind = estimator.kind
        assert (kind.cold.seconds, kind.cold.least_s, kind.timing.least.any()) == ([], 0, False)
        assert kind.cold.forecast(time.monotonic()) > 0
        assert kind.cold._running == 0
        if not usage.began or not usage.ran:
            assert granted(estimator, *args) == before
            assert kind.timing.calls == []


WORK = SimpleNamespace(
    prompt_tokens=100, max_new_tokens=512, question="What is it?", rows=2, active_adapters=0, to_load=0
)


def chatty(kind=ChatDuration):
    return kind(10**9, 10**9, name="chat", calibration=Calibration(None))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (ChatDuration, None),
        (ChatDuration, ChatReply("", "deadline", prompt_tokens=100)),
        (BatchDuration, [ChatReply("", "deadline", prompt_tokens=100)] * 2),
    ],
)
def test_an_answer_of_which_no_token_came_in_time_gets_more_next_time(kind, value):
    estimator, had = chatty(kind), [granted(chatty(kind), WORK)]
    for _ in range(4):
        usage = Usage(granted_s=had[-1], used_s=had[-1], ran=True, overran=value is None)
        estimator.observe((WORK,), {}, usage, value, value is not None)
        had.append(granted(estimator, WORK))
    assert all(later >= 1.8 * earlier for earlier, later in pairwise(had[1:]))
    estimator.observe((WORK,), {}, Usage(used_s=9, ran=True), replied(kind), True)
    less = granted(estimator, WORK)
    assert less < had[-1]
    for _ in range(8):
        estimator.observe((WORK,), {}, Usage(used_s=9, ran=True), replied(kind), True)
    assert granted(estimator, WORK) < 60


def replied(kind):
    reply = ChatReply("x", prompt_tokens=100, new_tokens=200)
    return [reply] * 2 if kind is BatchDuration else reply


def test_an_answer_that_was_cut_teaches_what_it_did():
    """How fast it went is known: nothing has to be guessed."""
    estimator = chatty()
    cut = ChatReply("so far", "deadline", prompt_tokens=100, new_tokens=50)
    estimator.observe((WORK,), {}, Usage(granted_s=9, used_s=8, ran=True, overran=True), cut, False)
    assert not estimator.kind.timing.least.any()
    assert estimator.kind.timing.calls[0][1] == 8


@pytest.mark.parametrize("ended", ["deadline", "complete"])
def test_no_picture_in_time_gets_more_next_time(ended):
    estimator = ImageDuration(int(1e9), int(1e9), name="image", calibration=Calibration(None))
    work = SimpleNamespace(steps_run=20, passes=2, images=1, megapixels=1.0, active_adapters=0, to_load=0)
    estimator.observe((work,), {}, Usage(granted_s=30, used_s=29, ran=True), ImageReply((), ended), True)
    assert (granted(estimator, work) >= 58) == (ended == "deadline")


def test_a_function_that_says_nothing_learns_from_a_call_that_60_seconds_did_not_do():
    estimator = Learned("f", calibration=Calibration(None))
    assert granted(estimator) == 90
    estimator.observe((), {}, killed(90, began=True, cold_s=2), None, False)
    assert granted(estimator) >= 176
    estimator.observe((), {}, Usage(used_s=120, ran=True), None, True)
    assert 120 < granted(estimator) < 200


@few
@given(
    killed_at=st.lists(st.tuples(st.integers(0, 60), st.floats(0.1, 200)), min_size=1, max_size=5),
    one=st.integers(0, 60),
    more=st.integers(0, 60),
)
def test_more_work_never_gets_less_whatever_was_killed(killed_at, one, more):
    estimator = Linear(1, {"steps": 0.2}, calibration=Calibration(None)).bind(lambda steps: None)
    for steps, seconds in killed_at:
        usage = Usage(granted_s=200, used_s=seconds, ran=True, overran=True)
        estimator.observe((steps,), {}, usage, None, False)
    steps, seconds = killed_at[-1]
    assert granted(estimator, steps) >= 2 * seconds
    assert granted(estimator, one) <= granted(estimator, one + more)
