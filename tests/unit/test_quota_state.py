"""What the meter knows, and how a call changes it."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerokit.quota.hub import MAX_SECONDS, Quota
from zerokit.quota.platform import PLANS, WINDOW_S
from zerokit.quota.state import LastCall, MeterState, advance, at_most

NOW = datetime.now(timezone.utc)
LATER = NOW + timedelta(hours=5)
QUOTA = Quota(left_s=212, base_s=300, resets_at=LATER, runs_limit=8, runs_left=5, runs_reset_at=LATER)


@dataclass(frozen=True)
class Usage:
    used_s: float = 6.3
    reserved_s: float | None = 12
    granted_s: float | None = 12
    cold: bool = False
    ran: bool = True


def exact(left_s, runs_left=5):
    quota = Quota(left_s=left_s, base_s=300, resets_at=LATER, runs_limit=8, runs_left=runs_left)
    return advance(MeterState(), quota, signed_in=True, now=NOW)


def test_the_hub_says():
    state = advance(MeterState(), QUOTA, signed_in=True, price_s=9, now=NOW)
    assert (state.exactness, state.plan, state.left_s, state.runs_left) == ("exact", "free", 212, 5)
    assert (state.resets_at, state.price_s, state.overquota) == (LATER, 9, False)


def test_nobody_says():
    state = advance(MeterState(), None, can_sign_in=True)
    assert (state.exactness, state.left_s, state.base_s, state.can_sign_in) == ("unknown", None, None, True)


def test_the_page_says_which_plan():
    state = advance(MeterState(plan="anonymous"), None, usage=Usage(used_s=20))
    anonymous = PLANS["anonymous"]
    assert (state.exactness, state.left_s) == ("at most", anonymous.base_s - 20)
    assert state.runs_left == anonymous.runs - 1
    assert state.last == LastCall(20, 12, False)


def test_a_refused_call_costs_nothing():
    state = advance(MeterState(plan="anonymous", last=LastCall(3)), None, usage=Usage(ran=False))
    assert (state.left_s, state.runs_left, state.last) == (120, 2, LastCall(3))


def test_a_whole_card_costs_twice():
    state = advance(MeterState(plan="anonymous"), None, usage=Usage(used_s=20, reserved_s=60, granted_s=30))
    assert state.left_s == PLANS["anonymous"].base_s - 40


def test_a_page_open_for_longer_than_a_day_counts_anew():
    before = MeterState(plan="free", page_used_s=200, page_runs=7, page_since=NOW)
    state = advance(before, None, usage=Usage(), now=NOW + timedelta(seconds=WINDOW_S))
    assert (state.left_s, state.runs_left) == (pytest.approx(300 - 6.3), 7)


def test_when_the_hub_falls_silent_its_last_number_is_the_most_it_can_be():
    state = advance(exact(212), None, signed_in=True, usage=Usage(), now=NOW)
    assert (state.exactness, state.left_s, state.runs_left) == ("at most", pytest.approx(212 - 6.3), 4)
    assert state.resets_at == LATER


def test_a_silent_hub_after_the_reset_is_not_guessed_at():
    state = advance(exact(212), None, signed_in=True, usage=Usage(), now=LATER + timedelta(seconds=1))
    assert (state.exactness, state.left_s) == ("at most", pytest.approx(300 - 6.3))


def test_signing_out_forgets_the_number():
    state = advance(exact(212), None, signed_in=False, now=NOW)
    assert state.signed_in is False
    assert state.exactness == "at most"
    assert (state.base_s, state.left_s, state.resets_at) == (300, 300, None)


def test_a_hub_that_has_not_booked_the_call_yet():
    before = exact(212)
    state = advance(before, QUOTA, signed_in=True, usage=Usage(), now=NOW)
    assert (state.exactness, state.left_s, state.runs_left) == ("at most", pytest.approx(212 - 6.3), 4)
    booked = Quota(left_s=205, base_s=300, resets_at=LATER, runs_limit=8, runs_left=4)
    assert advance(state, booked, signed_in=True, now=NOW).left_s == 205


def test_the_first_call_of_a_day():
    fresh = advance(MeterState(), Quota(left_s=300, base_s=300), signed_in=True)
    state = advance(fresh, Quota(left_s=280, base_s=300, resets_at=LATER), signed_in=True, called=True)
    assert state.last == LastCall(used_s=20)


def test_somebody_elses_call_is_told_by_the_difference():
    state = advance(exact(212), Quota(left_s=200, base_s=300, resets_at=LATER), signed_in=True, called=True)
    assert state.last == LastCall(used_s=12)
    assert state.page_used_s == 12


def test_no_difference_across_a_reset():
    tomorrow = LATER + timedelta(days=1)
    state = advance(exact(212), Quota(left_s=200, base_s=300, resets_at=tomorrow), signed_in=True, called=True)
    assert state.last is None


def test_paid_plans():
    state = advance(MeterState(), Quota(left_s=0, base_s=2400, overquota_used_s=60), signed_in=True)
    assert state.overquota
    told = advance(MeterState(plan="team"), Quota(left_s=0, base_s=2400), signed_in=True)
    assert (told.plan, told.overquota) == ("team", True)
    free = advance(MeterState(plan="enterprise"), QUOTA, signed_in=True)
    assert (free.plan, free.overquota) == ("free", False)


def test_round_trip():
    state = advance(exact(212), QUOTA, signed_in=True, usage=Usage(), price_s=3, now=NOW)
    assert MeterState.from_value(json.loads(json.dumps(state.as_value()))) == state


@pytest.mark.parametrize("value", [None, "", "<script>", 3, [], {"left_s": "<img>"}, {"last": []}, {"plan": ["free"]}])
def test_a_page_that_lies_is_unknown(value):
    assert MeterState.from_value(value) == MeterState()


anything = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([*PLANS, "exact"])
)
values = st.fixed_dictionaries({}, optional=dict.fromkeys(MeterState().as_value(), anything)) | st.dictionaries(
    st.text(max_size=4), anything, max_size=4
)
quotas = st.none() | st.builds(
    lambda base, share, runs: Quota(left_s=base * share, base_s=base, runs_limit=8, runs_left=runs),
    st.floats(0, MAX_SECONDS),
    st.floats(0, 1),
    st.integers(0, 8),
)
usages = st.none() | st.builds(
    Usage, st.floats(), st.none() | st.floats(0, 1e6), st.none() | st.floats(0, 1e6), st.booleans()
)


@given(values, quotas, usages, st.booleans(), st.booleans())
def test_never_negative_never_more_than_the_day(value, quota, usage, signed_in, called):
    state = advance(MeterState.from_value(value), quota, signed_in=signed_in, usage=usage, called=called)
    json.dumps(state.as_value(), allow_nan=False)
    assert (state.left_s is None) == (state.exactness == "unknown")
    if state.left_s is not None and state.base_s is not None:
        assert 0 <= state.left_s <= state.base_s
    assert state.runs_left is None or state.runs_left >= 0
    assert state.last is None or state.last.used_s >= 0
    if quota is None and not signed_in:
        assert state.exactness != "exact"


@given(st.sampled_from(sorted(PLANS)), st.floats(0, 1e6), st.floats(0, 1e6))
def test_more_use_never_leaves_more(plan, one, other):
    less, more = sorted((one, other))
    after_less = at_most(MeterState(plan=plan, page_used_s=less))
    after_more = at_most(MeterState(plan=plan, page_used_s=more))
    assert after_more.left_s <= after_less.left_s
