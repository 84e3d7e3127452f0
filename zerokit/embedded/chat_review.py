"""The end of a training: ask everything that was taught, and practise what was answered wrongly."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from zerokit.embedded.chat_data import Wording, load_wordings, turn
from zerokit.embedded.chat_evaluate import right_turns
from zerokit.embedded.chat_train import Batch, Recipe, batches, encode, make_batch, train_on

_STEPS = 40
_RATES = (0.05, 0.05, 0.05, 0.05, 0.03, 0.03, 0.03, 0.03)
"""Of the rates of the training, for each round: with a tenth, every round spoils about as much as it mends."""
_HARD_ROWS, _OTHER_ROWS = 40, 60
_TOKENS = 48
"""Of each row, from its beginning: enough for a question and for the words that decide which answer it is."""


def review(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    recipe: Recipe,
    report: Callable[[str], None] = print,
) -> None:
    """Train the model further, in rounds, until it answers every trained wording rightly.

    It begins with the weights as they are stored, in float16, so that a review of a saved model gives the same
    as one right after the training.
    """
    model.to(dtype=torch.float16).to(dtype=torch.float32)
    wordings = [wording for wording in load_wordings() if wording.split == "trained"]
    for number, rate in enumerate(_RATES):
        hard = _wrong(model, tokenizer, wordings)
        report(f"review {number + 1}: {len(hard)} of {len(wordings)} trained wordings are answered wrongly")
        if not hard:
            break
        again = replace(
            recipe,
            seed=recipe.seed + 1000 + number,
            steps=_STEPS,
            warmup_steps=_STEPS // 8,
            matrix_rate=recipe.matrix_rate * rate,
            other_rate=recipe.other_rate * rate,
        )
        train_on(model, _practice(tokenizer, again, hard, wordings), again)
        model.to(dtype=torch.float16).to(dtype=torch.float32)


def _wrong(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, wordings: list[Wording]) -> list[Wording]:
    turns = right_turns(model.eval(), tokenizer, [turn(w.text, w.answer) for w in wordings])
    return [wording for wording, verdicts in zip(wordings, turns, strict=True) if not all(verdicts)]


def _practice(
    tokenizer: PreTrainedTokenizerFast, recipe: Recipe, hard: list[Wording], wordings: list[Wording]
) -> Iterator[Batch]:
    """Batches of hard wordings among others, each second time a batch of dialogues as in the training."""
    draw = random.Random(recipe.seed)
    for number, usual in enumerate(batches(tokenizer, recipe)):
        if number % 2:
            yield usual
            continue
        rows = draw.choices(hard, k=_HARD_ROWS) + draw.choices(wordings, k=_OTHER_ROWS)
        pairs = [encode(tokenizer, turn(wording.text, wording.answer)) for wording in rows]
        yield make_batch([(ids[:_TOKENS], labels[:_TOKENS]) for ids, labels in pairs], tokenizer.pad_token_id)
