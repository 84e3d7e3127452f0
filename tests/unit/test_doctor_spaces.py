"""Twenty Spaces written by hand: ten broken in one way each, ten good in unusual ways."""

from __future__ import annotations

from pathlib import Path

import pytest

from zerokit.doctor import examine

SPACES = Path(__file__).parents[1] / "doctor_spaces"
BROKEN = {
    "broken_a_call_for_each_line": ("ZK402", "app.py:22"),
    "broken_compiled_in_a_helper": ("ZK210", "painting.py:7"),
    "broken_coroutine": ("ZK401", "app.py:12"),
    "broken_duration_without_progress": ("ZK304", "app.py:13"),
    "broken_loaded_at_the_first_call": ("ZK208", "speech.py:10"),
    "broken_meter_without_sign_in": ("ZK110", "README.md:7"),
    "broken_more_than_a_day": ("ZK301", "app.py:12"),
    "broken_nothing_decorated": ("ZK201", "app.py:1"),
    "broken_one_file_for_all": ("ZK408", "sound.py:7"),
    "broken_spaces_pinned": ("ZK108", "requirements.txt:3"),
}
GOOD = sorted(path.name for path in SPACES.glob("good_*"))


def test_there_are_ten_of_each():
    assert sorted(path.name for path in SPACES.glob("broken_*")) == sorted(BROKEN)
    assert len(BROKEN) == len(GOOD) == 10


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found_and_nothing_else(name):
    assert [(finding.code, finding.place) for finding in examine(SPACES / name).findings] == [BROKEN[name]]


@pytest.mark.parametrize("name", GOOD)
def test_what_is_good_is_left_alone(name):
    assert examine(SPACES / name).findings == ()
