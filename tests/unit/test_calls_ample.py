"""Who has plenty left gets time for a longer answer than most are: a cut costs a run, unused seconds nothing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zerokit
from zerokit.calls.calibration import Calibration
from zerokit.calls.chat_duration import BatchDuration, ChatDuration
from zerokit.calls.duration import Fixed
from zerokit.calls.function import PLENTY
from zerokit.quota import platform

WORK = SimpleNamespace(prompt_tokens=100, max_new_tokens=2048, question="Which?", rows=2, active_adapters=0, to_load=0)


def chatty(kind=ChatDuration):
    estimator = kind(10**9, 10**9, name="chat", calibration=Calibration(None))
    for number in range(40):
        estimator.kind.lengths.observe(f"question {number}", 50 + 20 * number)
    return estimator


@pytest.fixture
def answer(monkeypatch):
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setattr("zerokit.calls.function.factor", lambda: 1.5)
    monkeypatch.setattr("zerokit.calls.function.default_size", lambda: "large")
    monkeypatch.setattr("zerokit.calls.function.open_door", lambda size: None)
    return zerokit.gpu(duration=chatty())(lambda work: None)


@pytest.mark.parametrize("kind", [ChatDuration, BatchDuration])
def test_an_ample_estimate_is_of_a_longer_answer(kind):
    estimate = chatty(kind).estimate((WORK,), {}, size="large", factor=1.5)
    assert estimate.declared_s < estimate.ample_declared_s < 3 * estimate.declared_s


def test_only_who_has_plenty_left_reserves_amply(answer):
    unknown, ample = answer.quote(WORK), answer.within(2400).quote(WORK)
    assert unknown.declared_s < ample.declared_s
    assert not ample.shortened
    enough = answer.within(unknown.reserved_s).quote(WORK)
    assert (enough.declared_s, enough.shortened) == (unknown.declared_s, False)
    assert answer.within(2400, cap_s=unknown.reserved_s).quote(WORK).declared_s == unknown.declared_s


@settings(deadline=None, max_examples=40)
@given(left_s=st.floats(0, 5000), more_s=st.floats(0, 5000))
def test_what_is_reserved_fits_and_never_falls_with_what_is_left(left_s, more_s):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPACES_ZERO_GPU", "true")
        patch.setattr("zerokit.calls.function.factor", lambda: 1.5)
        patch.setattr("zerokit.calls.function.default_size", lambda: "large")
        patch.setattr("zerokit.calls.function.open_door", lambda size: None)
        function = zerokit.gpu(duration=chatty())(lambda work: None)
        usual = function.quote(WORK)
        less, more = (_reserved(function, left) for left in (left_s, left_s + more_s))
    assert less <= left_s
    assert less <= more
    assert less <= max(usual.reserved_s, left_s / PLENTY)


def _reserved(function, left_s):
    try:
        return function.within(left_s).quote(WORK).reserved_s
    except zerokit.errors.QuotaExceeded:
        return 0


def test_a_stated_duration_stays_as_it_is():
    estimate = Fixed(20).estimate((), {}, size="large", factor=1.5)
    assert max(estimate.declared_s, estimate.ample_declared_s) == 20
    assert platform.reserved_s(20) == 30
