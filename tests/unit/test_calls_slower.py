"""A card that becomes slower, or quicker, in the middle: the estimate follows within a few calls."""

from __future__ import annotations

import random

import pytest

from zerokit.calls.calibration import CHANGED, LATEST, Timing


def cut(timing, chance, slower, count):
    """Of so many calls of mixed sizes, those that took longer than was forecast."""
    late = 0
    for _ in range(count):
        features = {"call": 1.0, "steps": float(chance.randint(5, 50))}
        seconds = (0.5 + 0.1 * features["steps"]) * slower * chance.uniform(0.97, 1.03)
        late += seconds > timing.forecast(features)
        timing.observe(features, seconds)
    return late


@pytest.mark.parametrize("seed", range(4))
def test_a_card_three_times_as_slow_is_noticed_at_once(seed):
    chance, timing = random.Random(seed), Timing({"call": 0.5, "steps": 0.1})
    cut(timing, chance, 1.0, 60)
    before = timing.forecast({"call": 1.0, "steps": 50.0})
    assert before == pytest.approx(5.5, rel=0.1)
    assert cut(timing, chance, 3.0, 1) == 1
    assert cut(timing, chance, 3.0, 12) <= 3
    assert cut(timing, chance, 3.0, 20) <= 4


def test_one_slow_call_among_many_is_forgotten_after_a_few():
    chance, timing = random.Random(1), Timing({"call": 0.5, "steps": 0.1})
    cut(timing, chance, 1.0, 60)
    before = timing.forecast({"call": 1.0, "steps": 4.0})
    cut(timing, chance, 3.0, 1)
    assert timing.forecast({"call": 1.0, "steps": 4.0}) > 2 * before
    cut(timing, chance, 1.0, LATEST)
    assert timing.forecast({"call": 1.0, "steps": 4.0}) < 1.2 * before


@pytest.mark.parametrize("seed", range(4))
def test_what_a_slow_card_took_is_not_reserved_for_on_a_quick_one(seed):
    chance, timing = random.Random(seed), Timing({"call": 0.5, "steps": 0.1})
    features = {"call": 1.0, "steps": 20.0}
    cut(timing, chance, 3.0, 60)
    assert timing.forecast(features) == pytest.approx(7.5, rel=0.15)
    cut(timing, chance, 1.0, CHANGED + 8)
    assert timing.forecast(features) < 1.3 * 2.5
    assert len(timing.calls) == CHANGED + 8


def test_another_kind_of_request_is_no_other_card():
    """Few steps only, for long: what many take is still known."""
    chance, timing = random.Random(3), Timing({"call": 0.5, "steps": 0.1})
    cut(timing, chance, 1.0, 30)
    for _ in range(3 * CHANGED):
        timing.observe({"call": 1.0, "steps": 1.0}, 0.6 * chance.uniform(0.9, 1.1))
    assert len(timing.calls) == 30 + 3 * CHANGED
    assert timing.forecast({"call": 1.0, "steps": 50.0}) == pytest.approx(5.5, rel=0.15)
