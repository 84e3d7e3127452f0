"""The template `chat` on the local ZeroGPU, started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from zerokit import templates
from zerokit.testing import Space


@pytest.fixture(scope="session")
def chat_space() -> Iterator[Space]:
    with Space(templates.folder("chat"), timeout_s=300) as space:
        yield space


@pytest.fixture
def chat(chat_space: Space) -> Space:
    """On a new day."""
    chat_space.new_day()
    return chat_space
