"""A small part of tests/fuzz, with the same calls each time."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "fuzz"))

from run import fuzz
from space import fuzzed

CALLS, SEED = 150, 6


@pytest.mark.timeout(900)
def test_calls_from_the_schema_tell_nothing_and_fail_in_words(tmp_path):
    with fuzzed(tmp_path) as space:
        report = fuzz(space, CALLS, SEED)
        assert report.calls == CALLS
        assert {way for way, _ in report.outcomes} == {"rest", "named", "direct", "page", "raw"}
        assert report.outcomes["page", "refused with words"] > 0
        assert sum(count for (_, kind), count in report.outcomes.items() if kind == "HTTP 2xx") > 0
        assert not report.found, "\n".join(report.lines())
