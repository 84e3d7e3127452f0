"""Whether the next call finds a worker that has loaded."""

from __future__ import annotations

from zerokit.calls import Linear, Usage
from zerokit.calls.calibration import Calibration, Cold


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
