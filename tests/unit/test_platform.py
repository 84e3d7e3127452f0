"""The arithmetic of a reservation, against the real client of `spaces`."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaces.zero import client
from spaces.zero.config import get_config

from zerokit.quota import platform

SIZES = [None, "large", "xlarge"]
factors = st.none() | st.floats(0.5, 4)
sizes = st.sampled_from(SIZES)


@pytest.fixture(scope="module")
def factor():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there is no Nvidia driver here
        return get_config()["duration_factor"]


@pytest.mark.parametrize("size", SIZES)
def test_granted_is_what_the_client_sends(factor, size):
    for tenths in [*range(0, 3000, 7), 59_999, 863_990]:
        declared = tenths / 10
        sent = round(client.get_duration_seconds(timedelta(seconds=declared), size))
        assert platform.granted_s(declared, size, factor) == sent
        assert platform.reserved_s(declared, size, factor) == sent * (2 if size == "xlarge" else 1)


def test_the_defaults_are_the_clients():
    assert platform.DEFAULT_DECLARED_S == client.DEFAULT_SCHEDULE_DURATION
    assert (platform.granted_s(60), platform.reserved_s(60), platform.reserved_s(60, "xlarge")) == (90, 90, 120)
    assert platform.granted_s(12.7) == 18


@settings(deadline=None)
@given(st.floats(0, 4000), sizes, factors)
def test_declared_for_is_the_fewest_that_suffices(wall_s, size, factor):
    declared = platform.declared_for(wall_s, size, factor)
    assert declared >= 1
    assert platform.granted_s(declared, size, factor) >= wall_s
    assert declared == 1 or platform.granted_s(declared - 1, size, factor) < wall_s


@settings(deadline=None)
@given(st.floats(-10, 4000), sizes, factors)
def test_declared_within_is_the_most_that_fits(at_most, size, factor):
    declared = platform.declared_within(at_most, size, factor)
    assert declared >= 0
    assert declared == 0 or platform.reserved_s(declared, size, factor) <= at_most
    assert platform.reserved_s(declared + 1, size, factor) > at_most


@given(st.floats(max_value=-1e-9) | st.just(math.nan) | st.just(math.inf))
def test_what_is_no_duration_is_refused(declared):
    for ask in (platform.granted_s, platform.reserved_s):
        with pytest.raises(ValueError, match="number of seconds from 0 up"):
            ask(declared)


@pytest.mark.parametrize(
    ("ask", "name", "said"),
    [
        (platform.size, "xlarg", "Did you mean 'xlarge'?"),
        (platform.plan, "anonymus", "Did you mean 'anonymous'?"),
        (platform.plan, "zzz", "one of anonymous, free, pro, team, enterprise."),
        (platform.size, "", "There is no size ''"),
        (platform.size, ["large"], "There is no size"),
        (platform.plan, None, "There is no plan None"),
    ],
)
def test_unknown_names_are_named(ask, name, said):
    with pytest.raises(ValueError, match="There is no") as caught:
        ask(name)
    assert said in str(caught.value)


def test_plans_and_sizes_make_sense():
    assert platform.size(None) is platform.size("large")
    for plan in platform.PLANS.values():
        assert 0 < plan.cap_s <= plan.base_s
        assert plan.runs is None or plan.runs > 0
    assert [p.base_s for p in platform.PLANS.values()] == sorted(p.base_s for p in platform.PLANS.values())
    assert platform.size("xlarge").vram_bytes > platform.size("large").vram_bytes
