"""The hand-tuned durations: what an author writes who has measured the Space once, on its own card, with some reserve.

They take the arguments of the function, as `spaces.GPU(duration=...)` asks for them, and give seconds to declare.
"""

from __future__ import annotations

from typing import Any

COLD_S = 5.0
"""A worker that starts, with 8 GB to load."""
TOKEN_S = 0.03
STEP_S = 0.08
"""Of a picture of a megapixel, on the prompt and on the negative one: twice as much."""
DECODE_S = 0.3
ADAPTER_S = 1.0
"""To read an adapter in the call."""


def chat_s(message: str, history: Any = None, max_new_tokens: int = 512) -> float:
    """An answer may always get as long as it may."""
    return COLD_S + TOKEN_S * max_new_tokens


def image_s(
    prompt: str, width: int = 1024, height: int = 1024, steps: int = 25, images: int = 1, guidance: float = 5.0
) -> float:
    """Seconds grow with steps, pixels and pictures."""
    pixels = images * width * height / 1e6
    return COLD_S + pixels * (steps * STEP_S * (2 if guidance > 1 else 1) + DECODE_S)


def adapter_s(
    prompt: str,
    adapter: str = "",
    width: int = 1024,
    height: int = 1024,
    steps: int = 25,
    images: int = 1,
    guidance: float = 5.0,
) -> float:
    """An adapter is read in the call, and each step takes a quarter longer."""
    return 1.25 * image_s(prompt, width, height, steps, images, guidance) + ADAPTER_S
