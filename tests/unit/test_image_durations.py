"""What a call that makes pictures reserves."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from zerokit.calls.calibration import Calibration
from zerokit.calls.image_duration import ImageDuration, ImagesDuration
from zerokit.calls.usage import Usage
from zerokit.requests import ImageReply, Picture

few = settings(max_examples=40, deadline=None)
works = st.tuples(
    st.integers(1, 60), st.integers(1, 2), st.integers(1, 8), st.floats(0.01, 4), st.integers(0, 8), st.floats(0, 20)
)


def work(steps_run=20, passes=2, images=1, megapixels=1.0, active_adapters=0, to_load=0.0):
    return SimpleNamespace(
        steps_run=steps_run,
        passes=passes,
        images=images,
        megapixels=megapixels,
        active_adapters=active_adapters,
        to_load=to_load,
    )


def batch(*rows):
    return SimpleNamespace(rows=rows, to_load=sum(row.to_load for row in rows))


def paints(parameters=2.6e9, kind=ImageDuration):
    return kind(int(parameters), int(7e9), name="image", calibration=Calibration(None))


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


# Adapters.


def test_adapters_cost_from_the_first_call_on():
    plain, active = estimate(paints(), work()).declared_s, estimate(paints(), work(active_adapters=2)).declared_s
    assert plain < active < 2 * plain
    assert estimate(paints(), work(active_adapters=2, to_load=2)).declared_s > active


def test_what_adapters_take_is_learned():
    """Each of them makes a step as long again, and none takes time to load."""
    estimator = paints()
    for n in range(20):
        asked = work(10 + n, active_adapters=n % 3, to_load=n % 2)
        estimator.observe((asked,), {}, ran(0.1 * asked.steps_run * (1 + n % 3)), reply(asked.steps_run), True)
    fitted = dict(zip(estimator.kind.timing.names, estimator.kind.timing._fitted, strict=True))
    assert fitted["adapted"] == pytest.approx(fitted["denoised"] + fitted["steps"] / 2, rel=0.3)
    assert fitted["loaded"] < 0.1


# Several requests in one call.


@few
@given(st.lists(works, min_size=1, max_size=4), works, st.lists(st.tuples(works, st.floats(0.1, 60)), max_size=6))
def test_one_more_row_never_declares_less(rows, more, seen):
    estimator = paints(kind=ImagesDuration)
    for asked, took in seen:
        done = [reply(asked[0], asked[2])]
        estimator.observe((batch(work(*asked)),), {}, ran(took), done, True)
    rows = [work(*row) for row in rows]
    low, high = estimate(estimator, batch(*rows)), estimate(estimator, batch(*rows, work(*more)))
    assert 1 <= low.declared_s <= high.declared_s
    assert low.least_declared_s <= low.declared_s


def test_rows_are_learned_as_they_came():
    """Of three rows one was made, in half of its steps."""
    estimator = paints(kind=ImagesDuration)
    asked = batch(work(20), work(20, active_adapters=1), work(20, active_adapters=1))
    estimator.observe((asked,), {}, ran(2.0), [reply(10), ImageReply(()), ImageReply(())], True)
    ((features, took),) = estimator.kind.timing.calls
    done = dict(zip(estimator.kind.timing.names, features, strict=True))
    assert (done["steps"], done["row"], done["adapted"], took) == (10, 1, 0, 2.0)
    estimator.observe((asked,), {}, ran(2.0), [ImageReply(())] * 3, True)
    assert len(estimator.kind.timing.calls) == 1


def test_three_rows_cost_less_than_three_calls_and_more_than_one():
    one = estimate(paints(), work()).declared_s
    three = estimate(paints(kind=ImagesDuration), batch(work(), work(), work())).declared_s
    assert one < three < 3 * one
