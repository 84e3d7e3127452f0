"""What a call that makes pictures reserves."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from zerokit.calls.calibration import Calibration
from zerokit.calls.image_duration import ImageDuration
from zerokit.calls.usage import Usage
from zerokit.requests import ImageReply, Picture

few = settings(max_examples=40, deadline=None)
works = st.tuples(st.integers(1, 60), st.integers(1, 2), st.integers(1, 8), st.floats(0.01, 4))


def work(steps_run=20, passes=2, images=1, megapixels=1.0):
    return SimpleNamespace(steps_run=steps_run, passes=passes, images=images, megapixels=megapixels)


def paints(parameters=2.6e9):
    return ImageDuration(int(parameters), int(7e9), name="image", calibration=Calibration(None))


def ran(seconds):
    return Usage(used_s=seconds, ran=True)


def reply(steps, images=1):
    return ImageReply((Picture(Image.new("RGB", (16, 16)), 1),) * images, steps=steps, steps_asked=20)


def estimate(estimator, asked):
    return estimator.estimate((asked,), {}, size="large", factor=1.5)


@few
@given(works, works, st.lists(st.tuples(works, st.floats(0.1, 60)), max_size=10))
def test_more_of_anything_never_declares_less(one, other, seen):
    estimator = paints()
    for asked, took in seen:
        estimator.observe((work(*asked),), {}, ran(took), reply(asked[0], asked[2]), True)
    least, most = ([pick(pair) for pair in zip(one, other, strict=True)] for pick in (min, max))
    low, high = estimate(estimator, work(*least)), estimate(estimator, work(*most))
    assert 1 <= low.declared_s <= high.declared_s
    assert low.least_declared_s <= low.declared_s


def test_the_first_call_is_sane():
    assert 4 <= estimate(paints(), work()).declared_s <= 20  # 20 steps of SDXL at a megapixel, with a cold start
    assert estimate(paints(), work(images=4)).declared_s <= 40


@pytest.mark.parametrize("used", [0.9, 9.0])
def test_twenty_calls_teach_what_they_take(used):
    estimator = paints()
    for n in range(20):
        steps = 10 + n
        estimator.observe((work(steps),), {}, ran(used * steps / 20), reply(steps), True)
    declared = estimate(estimator, work()).declared_s * 1.5
    assert used <= declared <= 2 * used + 3


def test_what_was_really_done_is_what_is_learned():
    """A call cut to 5 of 20 steps, with one of four pictures, is no proof that twenty steps of four are quick."""
    cut, whole = paints(), paints()
    for _ in range(10):
        cut.observe((work(20, images=4),), {}, ran(1.0), reply(5, 1), True)
        whole.observe((work(20, images=4),), {}, ran(1.0), reply(20, 4), True)
    assert estimate(cut, work(20, images=4)).declared_s > 3 * estimate(whole, work(20, images=4)).declared_s


def test_a_call_without_pictures_teaches_nothing():
    estimator = paints()
    estimator.observe((work(),), {}, ran(50.0), None, False)
    estimator.observe((work(),), {}, ran(50.0), ImageReply(()), False)
    assert estimator.kind.timing.calls == []


def test_few_steps_are_of_use_when_few_were_asked_for():
    assert estimate(paints(), work(1)).least_declared_s == estimate(paints(), work(1)).declared_s
    assert estimate(paints(), work(50)).least_declared_s < estimate(paints(), work(50)).declared_s
