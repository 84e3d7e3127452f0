"""Adapters in the requests of a chat: which act in it, and the same question to several, side by side."""

from __future__ import annotations

import secrets
from dataclasses import replace

from zerokit.blocks.adapter_choice import Chosen
from zerokit.requests import MAX_SEED, ChatRequest, Message


def acting(asked: ChatRequest, chosen: Chosen) -> ChatRequest:
    """The request with these adapters active, and their trigger words in its last question."""
    messages = list(asked.messages)
    for place in range(len(messages) - 1, -1, -1):
        if messages[place].role == "user":
            messages[place] = Message("user", chosen.prompted(messages[place].content))
            break
    return replace(asked, messages=tuple(messages), adapters=chosen.choices)


def side_by_side(asked: ChatRequest, chosen: Chosen) -> list[ChatRequest]:
    """The request to the base alone, then to each adapter alone, all with one seed.

    Raises:
        RequestError: no adapter is chosen.
    """
    seed = secrets.randbelow(MAX_SEED + 1) if asked.seed is None else asked.seed
    return [acting(replace(asked, seed=seed), one) for one in chosen.compared()]
