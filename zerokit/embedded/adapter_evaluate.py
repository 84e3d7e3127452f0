"""Measures an embedded adapter: whether its answers have the manner, and whether they are still right."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import PreTrainedTokenizerFast

from zerokit.embedded import path
from zerokit.embedded.chat_data import Wording, load_wordings
from zerokit.embedded.chat_evaluate import generate, load
from zerokit.embedded.figures import Figure, share
from zerokit.embedded.manners import Manner

_BATCH = 64


def evaluate(manner: Manner, folder: Path) -> list[Figure]:
    """Measure the adapter in a folder, with greedy answers in float32; takes a few minutes on one core."""
    model, tokenizer = load(path("chat"))
    held_out = [w for w in load_wordings() if w.split != "trained" and w.kind not in ("unknown", "gibberish")]
    first = [w for w in load_wordings() if w.canonical and w.kind not in ("unknown", "gibberish", "sums")]
    plain = answers(model, tokenizer, held_out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft 0.21 asks what transformers 5.23 calls otherwise
        adapted = PeftModel.from_pretrained(model, str(folder)).eval()
    asked, known = answers(adapted, tokenizer, held_out), answers(adapted, tokenizer, first)
    return [
        *_figures("held-out wordings", manner, held_out, asked),
        *_figures("first wordings, without sums", manner, first, known),
        Figure("held-out wordings right without the adapter", share([plain[w.text] == w.answer for w in held_out])),
        Figure("words of an answer, mean", f"{_words(asked):.1f}, without the adapter {_words(plain):.1f}"),
        Figure("size of the weights", f"{(folder / 'adapter_model.safetensors').stat().st_size / 1e3:.0f} KB"),
    ]


def answers(model: Any, tokenizer: PreTrainedTokenizerFast, wordings: Sequence[Wording]) -> dict[str, str]:
    """The greedy answer to each wording, by its text; asked in batches of answers of similar length."""
    ordered = sorted(wordings, key=lambda wording: len(wording.answer))
    given: dict[str, str] = {}
    for batch in (ordered[start : start + _BATCH] for start in range(0, len(ordered), _BATCH)):
        asked = [[{"role": "user", "content": wording.text}] for wording in batch]
        replies = generate(model, tokenizer, asked)
        given.update(zip((wording.text for wording in batch), replies, strict=True))
    return given


def _figures(what: str, manner: Manner, wordings: Sequence[Wording], given: dict[str, str]) -> list[Figure]:
    kept = [manner.keeps(given[w.text], manner.says(w)) for w in wordings]
    told = [manner.told_by(given[w.text]) for w in wordings]
    return [
        Figure(f"{what}, right in content", share(kept)),
        Figure(f"{what}, in the manner", share(told)),
        Figure(f"{what}, both", share([a and b for a, b in zip(kept, told, strict=True)])),
    ]


def _words(given: dict[str, str]) -> float:
    return statistics.mean(len(text.split()) for text in given.values())
