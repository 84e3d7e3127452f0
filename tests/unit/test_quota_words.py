"""Numbers as people say them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerokit.quota import words


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (-3, "0 s"),
        (0.9, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (212, "3 min 32 s"),
        (3600, "1 h"),
        (3900, "1 h 5 min"),
    ],
)
def test_duration(seconds, said):
    assert words.duration(seconds) == said


def test_a_price_is_rounded_up():
    assert words.duration(8.2, up=True) == "9 s"
    assert words.duration(59.5, up=True) == "1 min"


@given(st.floats(0, 1e7))
def test_what_is_left_is_never_said_to_be_more(seconds):
    units = {"s": 1, "min": 60, "h": 3600}
    said = words.duration(seconds).split()
    total = sum(int(count) * units[unit] for count, unit in zip(said[::2], said[1::2], strict=True))
    assert 0 <= seconds - total < (60 if seconds >= 3600 else 1)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf")])
def test_not_a_duration(seconds):
    with pytest.raises(ValueError, match="finite"):
        words.duration(seconds)


def test_runs():
    assert [words.runs(count) for count in (0, 1, 7)] == ["0 runs", "1 run", "7 runs"]
