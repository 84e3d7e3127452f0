"""Where other Spaces want the same cards, a worker that should be there can be gone."""

from __future__ import annotations

from zerokit.calls.calibration import KEPT_PROMISES, SURPRISES, Cold


def call(cold: Cold, at: float, was_cold: bool) -> float:
    """A call of two seconds that is asked for at that time; what it was forecast to need for its start."""
    forecast = cold.forecast(at)
    cold.begin(at)
    cold.observe(at + 2, at, was_cold, 4.0 if was_cold else 0.0)
    return forecast


def test_after_two_workers_that_were_gone_none_is_counted_on_until_it_would_have_been_right_for_long():
    cold, at = Cold(7.0), 0.0
    call(cold, at, True)
    for number in range(SURPRISES):
        before = []
        for was_cold in (*[False] * 8, True):
            at += 3
            before.append(call(cold, at, was_cold))
        assert before[-1] == 0, number  # after eight that were there, once more one seemed to be
    needed = []
    for _ in range(2 * KEPT_PROMISES):
        at += 3
        needed.append(call(cold, at, False))
    assert needed[:20] == [4.8] * 20
    assert needed[-1] == 0


def test_one_that_was_gone_once_changes_little():
    cold, at = Cold(7.0), 0.0
    needed = []
    for was_cold in (True, *[False] * 6, True, *[False] * 12):
        at += 3
        needed.append(call(cold, at, was_cold))
    assert needed[1:8] == [0] * 7
    assert needed[-1] == 0


def test_calls_that_end_in_another_order_are_told_apart():
    cold = Cold(7.0)
    call(cold, 0.0, True)
    for start in (10.0, 20.0, 30.0):
        cold.begin(start)  # the worker that is there
        cold.begin(start + 0.5)  # this one needs another, and ends first
        cold.observe(start + 2, start + 0.5, start == 10.0, 4.0)
        cold.observe(start + 3, start, False, 0.0)
    assert cold.forecast(34.0) == 0
    cold.begin(34.0)
    cold.begin(34.5)
    cold.leave(34.5)
    cold.leave(34.0)
    assert cold.forecast(35.0) == 0
