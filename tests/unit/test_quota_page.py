"""docs/quota.md: the day that it shows is the day as the scheduler plays it, and adds up."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

import zerokit

SCRIPT = Path(zerokit.__file__).parents[1] / "docs" / "quota.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("docs_quota", SCRIPT)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_the_page_is_what_the_script_writes_and_the_recording_has_the_same(script, tmp_path):
    page = script.PAGE.read_text("utf-8")
    record = tmp_path / "day.jsonl"
    assert script.written(page, record) == page, "run: python docs/quota.py"
    recorded = [json.loads(line) for line in record.read_text("utf-8").splitlines()]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in page.splitlines() if row.startswith("| ")][1:]
    assert [row[-2] for row in rows] == [f"{call['left_s']:g}" for call in recorded]
    assert [row[-1] for row in rows] == [str(call["runs_left"]) for call in recorded]
    assert len(rows) == len(script.CLICKS)


def test_the_day_adds_up_by_hand(script):
    left_s, runs_left = 300.0, 8
    for click, call in zip(script.CLICKS, script.play(), strict=True):
        if click.at_s >= script.DAY + script.CLICKS[0].at_s:
            left_s, runs_left = 300.0, 8
        assert call.reserved_s == round(1.5 * click.declared_s)
        if runs_left == 0:
            assert call.outcome == "refused:runs"
        elif call.reserved_s > left_s:
            assert call.outcome == "refused:seconds"
        else:
            used_s = min(click.works_s, call.reserved_s + 0.5)
            assert call.outcome == ("done" if used_s == click.works_s else "killed")
            left_s, runs_left = left_s - used_s, runs_left - 1
        assert (call.left_s, call.runs_left) == (pytest.approx(left_s), runs_left)
