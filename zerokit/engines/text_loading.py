"""A chat model's tokenizer and weights, checked as far as can be before the weights are fetched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer

from zerokit.engines import placement, source
from zerokit.errors import NoChatTemplate


@dataclass(frozen=True)
class Loaded:
    """What `load` found."""

    name: str
    model: Any
    tokenizer: Any


def load(
    model: str | Path,
    *,
    revision: str | None,
    token: str | None,
    dtype: placement.LoadDtype,
    quantization: Any,
    trust_remote_code: bool,
) -> Loaded:
    found = source.find(model, "chat", revision=revision, token=token)
    tokenizer = AutoTokenizer.from_pretrained(found.where)
    m = AutoModelForCausalLM.from_pretrained(found.where, dtype=dtype, use_safetensors=True)
    return Loaded(found.name, m, tokenizer)
