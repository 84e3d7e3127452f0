"""When the memory of the device is too small."""

from __future__ import annotations

import re

import torch


def is_out_of_memory(exc: BaseException) -> bool:
    return isinstance(exc, torch.OutOfMemoryError) or "can't allocate memory" in str(exc)


def free() -> None:
    """Give memory that torch holds and does not use back to the card."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


def asked_for(exc: BaseException) -> str:
    """How much more was asked for, in a sentence; empty where the error does not say."""
    asked = re.search(r"allocate ([\d.]+ ?\w+)", str(exc))
    return f" It asked for {asked.group(1)} more." if asked else ""
