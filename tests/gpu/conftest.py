"""A CUDA card for all tests of this folder; without one each of them fails, for a test that is skipped proves nothing.

They are not among the tests that run by themselves (`testpaths` in pyproject.toml): `pytest tests/gpu` asks for them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from zerokit.emulator.cards import Card, usable_cards

NO_CARD = "These tests need a CUDA card, its driver and a torch that is built for CUDA: this machine has no such card."


@pytest.fixture(scope="session", autouse=True)
def card() -> Card:
    found = usable_cards()
    if not found:
        pytest.fail(NO_CARD, pytrace=False)
    return found[0]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For what the apps of a file write."""
    return tmp_path_factory.mktemp("gpu")
