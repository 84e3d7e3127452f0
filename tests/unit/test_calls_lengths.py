"""How long replies get, learned from those before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zerokit.calls import Linear, worker
from zerokit.calls.calibration import Calibration
from zerokit.calls.call import Call
from zerokit.calls.chat_duration import ChatDuration
from zerokit.calls.lengths import Lengths

few = settings(max_examples=60, deadline=None)
words = st.text("ab ", max_size=8)


@few
@given(
    seen=st.lists(st.tuples(words, st.integers(0, 40_000), st.booleans()), max_size=20),
    prompt=words,
    limits=st.tuples(st.integers(1, 40_000), st.integers(1, 40_000)),
)
def test_within_the_limit_and_never_less_for_a_higher_one(seen, prompt, limits):
    lengths = Lengths()
    for said, tokens, cut in seen:
        lengths.observe(said, tokens, cut)
    low, high = (lengths.forecast(prompt, limit) for limit in sorted(limits))
    assert 1 <= low <= min(limits)
    assert low <= high


@few
@given(st.lists(st.tuples(words, st.integers(1, 40_000), st.booleans()), max_size=20), st.integers(1, 40_000))
def test_the_same_prompt_is_never_below_its_last_reply(seen, last):
    lengths = Lengths()
    for said, tokens, cut in [*seen, ("why is it so", last, False)]:
        lengths.observe(said, tokens, cut)
    assert lengths.forecast("why is it so", 50_000) >= last


@pytest.mark.parametrize("spread", [0.0, 0.1, 0.3])
def test_the_same_prompt_is_forecast_as_closely_as_its_replies_are(spread):
    rng = np.random.default_rng(1)
    lengths, forecasts = Lengths(), []
    for _ in range(60):
        tokens = int(300 * rng.lognormal(0, spread))
        forecasts.append((lengths.forecast("tell me about the sea", 4096), tokens))
        lengths.observe("tell me about the sea", tokens)
    later = forecasts[20:]
    assert np.mean([forecast >= tokens for forecast, tokens in later]) >= 0.75
    assert np.median([forecast / tokens for forecast, tokens in later]) <= 1.06 + 2 * spread


def test_a_form_of_question_tells_its_length():
    rng = np.random.default_rng(2)
    lengths = Lengths()
    for number in range(40):
        lengths.observe(f"write a long story about the {number}", int(600 * rng.lognormal(0, 0.3)))
        lengths.observe(f"what is the name of {number}", int(40 * rng.lognormal(0, 0.3)))
    assert lengths.forecast("what is the name of somebody", 4096) < 120
    assert lengths.forecast("write a long story about the somebody", 4096) > 600


def test_a_reply_that_ended_at_its_limit_is_expected_longer_where_there_is_more_room():
    lengths = Lengths()
    lengths.observe("count the stars", 128, cut=True)
    assert lengths.forecast("count the stars", 128) == 128
    assert lengths.forecast("count the stars", 1024) > 190


def test_after_a_restart_lengths_and_their_spread_are_known_and_no_prompt_is(tmp_path):
    path = tmp_path / "durations.json"
    calibration = Calibration(path)
    lengths = calibration.kind("chat", {"call": 1.0}, 1.0).lengths
    for tokens in (300, 320, 310):
        lengths.observe("where is the xylophone", tokens)
    calibration.save()
    again = Calibration(path).kind("chat", {"call": 1.0}, 1.0).lengths
    assert (again.seen, again.surprises) == (lengths.seen, pytest.approx(lengths.surprises))
    assert len(again.surprises) == 2
    assert "xylophone" not in path.read_text()


def test_a_chat_ends_at_most_half_a_second_before_the_end_of_what_is_granted():
    chat = ChatDuration(10**9, 10**9, name="chat", calibration=Calibration(None))
    margins = [chat.margin_s(granted_s) for granted_s in range(1, 200)]
    assert (min(margins), max(margins)) == (0.3, 0.5)
    assert Linear(1).margin_s(100) == 1.0
    call = Call("f", (), {}, granted_s=60, margin_s=chat.margin_s(60), granted_at=100.0)
    assert worker._deadline(call, 103.0) == 159.5
