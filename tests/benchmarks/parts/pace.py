"""The pace of the cards and models that are stood in for, as they come from transformers and diffusers in fp16."""

PARAMETERS = 4_000_000_000
"""Of the chat model, which takes 8 GB."""
LOADING_S = 4.0
"""From disk to the card; for either model."""
READ_S = 1 / 4_000
"""For each token of a prompt."""
TOKEN_S = 0.025
"""For each token of an answer, and of all that are written side by side."""
ROWS = 128
"""Answers side by side for which the card has memory."""

IMAGE_PARAMETERS = 2_600_000_000
"""Of the denoiser of the image model, which takes 7 GB with all of its parts."""
IMAGE_BYTES = 7_000_000_000
PROMPT_S = 0.06
"""To read a prompt."""
STEP_S = 0.035
"""The least for a step: a card is not quicker for a small picture."""
DENOISE_S = 0.06
"""For a pass of the denoiser over a picture of a megapixel."""
GROWTH = 1.15
"""Seconds grow with pixels to the power of this: attention looks from everywhere to everywhere."""
DECODE_S = 0.22
"""For a picture of a megapixel."""


def step_s(pixels: int, rows: int, speed: float = 1.0) -> float:
    """Seconds of one step, for so many pixels a picture, and rows: pictures times passes."""
    return max(STEP_S, rows * DENOISE_S * (pixels / 1e6) ** GROWTH) / speed


def decode_s(pixels: int, images: int, speed: float = 1.0) -> float:
    """Seconds of decoding so many pictures of so many pixels."""
    return images * DECODE_S * pixels / 1e6 / speed
