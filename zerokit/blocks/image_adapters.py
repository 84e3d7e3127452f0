"""Adapters in the requests of an image page: which act in it, and the same prompt to several, side by side."""

from __future__ import annotations

import secrets
from dataclasses import replace

from zerokit.blocks.adapter_choice import Chosen
from zerokit.requests import MAX_SEED, ImageRequest


def acting(asked: ImageRequest, choice: Chosen) -> ImageRequest:
    """The request with these adapters active, and their trigger words in its prompt."""
    return replace(asked, prompt=choice.prompted(asked.prompt), adapters=choice.choices)


def side_by_side(asked: ImageRequest, choice: Chosen) -> list[ImageRequest]:
    """One picture of the base alone, then of each adapter alone, all with one seed.

    Raises:
        RequestError: no adapter is chosen.
    """
    seed = secrets.randbelow(MAX_SEED + 1) if asked.seed is None else asked.seed
    return [acting(replace(asked, seed=seed, images=1), one) for one in choice.compared()]
