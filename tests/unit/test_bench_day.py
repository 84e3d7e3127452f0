"""The benchmarks that let a day pass on the emulator's scheduler with a clock that is moved by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import day
import waiting
from parts.on_paper import hand_clock
from parts.reserving import ByHand, Ideal, Luck, Space, ZeroKit
from parts.simulation import Platform

IMAGE = day.KINDS["image"]


def lived(way, **days):
    return day.live(IMAGE, way, days)


def test_a_call_holds_the_gpu_as_long_as_it_takes_and_the_next_one_waits():
    zero_gpu, over = Platform(SimpleNamespace(now=0.0)), []
    for number, declared_s in enumerate((10, 20, 4)):
        zero_gpu.ask(zero_gpu.account(f"pro:{number}"), declared_s, lambda lease: 5.0, over.append, "app")
    zero_gpu.run()
    assert [call.visitor for call in over] == ["pro:0", "pro:2", "pro:1"]  # of those who wait, the shorter one first
    assert [call.queued_s for call in over] == [0, 5, 10]
    assert [call.cold for call in over] == [True, False, False]
    assert [call.used_s for call in over] == [5, 5, 5]


def test_who_waits_a_minute_gives_up_and_who_takes_too_long_is_killed():
    zero_gpu, over = Platform(SimpleNamespace(now=0.0)), []
    zero_gpu.ask(zero_gpu.account("pro:a"), 60, lambda lease: 500.0, over.append, "app")
    zero_gpu.ask(zero_gpu.account("pro:b"), 60, lambda lease: 5.0, over.append, "app")
    zero_gpu.run()
    assert [(call.outcome, call.used_s, call.queued_s) for call in over] == [
        ("queue-timeout", 0, 60),
        ("killed", 90.5, 0),
    ]


def test_the_ideal_day_is_as_long_as_its_runs_or_its_seconds():
    days = lived(Ideal(), anonymous=3, free=3)
    assert (days["anonymous"].whole, days["free"].whole) == (3 * 2, 3 * 8)
    assert days["free"].cut == days["free"].killed == 0


def test_what_is_over_the_cap_gets_nothing_and_what_is_too_little_is_killed():
    assert lived(ByHand("static 120 s", lambda visit: 120), anonymous=2)["anonymous"].calls == 0
    assert lived(ByHand("static 1 s", lambda visit: 1), free=2)["free"].killed > 8


def test_zerokit_keeps_up_with_the_ideal_and_is_the_same_every_time():
    days = lived(ZeroKit(IMAGE.case.estimator()), free=8)
    assert days["free"].whole >= 0.97 * lived(Ideal(), free=8)["free"].whole
    assert lived(ZeroKit(IMAGE.case.estimator()), free=8) == days


@pytest.mark.parametrize("plan", ["anonymous", "free"])
def test_only_who_can_sign_in_tells_what_is_left(plan):
    told = []

    class Listening(ByHand):
        def declared_s(self, visit, work, true_s, left_s):
            told.append(left_s)
            return super().declared_s(visit, work, true_s, left_s)

    with hand_clock() as time:
        zero_gpu = Platform(time)
        visit = next(iter(IMAGE.case.visits(1, 1)))
        space = Space(IMAGE.case, Listening("60 s", lambda visit: 60))
        space.ask(zero_gpu, visit, Luck(1, 4), zero_gpu.account(plan), lambda done: None)
    assert told == [300 if plan == "free" else None]


def test_beside_another_space_nearly_nothing_is_cut_and_nothing_is_killed():
    kind = day.KINDS["image"]
    _, ours, static, *_ = day.ways(kind)
    heard = waiting.watch("image", [Space(kind.case, ours, "ours"), Space(kind.case, static, "theirs")], hours=0.25)
    count = heard["ZeroKit"].ended
    asked = sum(count.values())
    assert asked > 50
    assert count.get("killed", 0) == 0
    assert count.get("cut", 0) <= 0.04 * asked
    assert len(heard) == 2
