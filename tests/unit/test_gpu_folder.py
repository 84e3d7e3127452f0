"""What becomes of the tests that need a card where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def no_card():
    return {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTEST_ADDOPTS": ""}


def test_without_a_card_they_fail_and_say_what_is_missing(no_card):
    asked = ["pytest", "-p", "no:cacheprovider", "-q", "tests/gpu/test_functions.py", "-k", "come"]
    command = [sys.executable, "-m", *asked]
    done = subprocess.run(command, cwd=ROOT, env=no_card, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stdout
    assert "These tests need a CUDA card" in done.stdout
    assert "1 error" in done.stdout
    assert "skipped" not in done.stdout


def test_they_are_not_among_those_that_run_by_themselves(pytestconfig):
    assert "tests/gpu" not in pytestconfig.getini("testpaths")
    assert {"tests/unit", "tests/emulator", "tests/browser"} <= set(pytestconfig.getini("testpaths"))
