"""What the benchmarks reckon on paper: an estimate learns from a day of calls, of every kind."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

from parts import on_paper


@pytest.mark.parametrize("case", [on_paper.CHATS[0], on_paper.PICTURES[0]], ids=["chats", "pictures"])
def test_a_day_of_calls(case):
    result = on_paper.run(case, seed=1, first=20)
    assert 1 <= result.median < 1.6
    assert result.high < 3
    assert result.cuts <= 4
    assert on_paper.run(case, seed=1, first=20) == result
