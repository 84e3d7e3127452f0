"""Trains the adapters of the embedded chat model: the same questions, answered in another manner."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from zerokit.embedded.chat_data import Message, Sampler, load_wordings, turn
from zerokit.embedded.chat_evaluate import load, right_turns
from zerokit.embedded.chat_model import MAX_POSITIONS
from zerokit.embedded.chat_train import Batch, Recipe, encode, groups_of, make_batch, train_on
from zerokit.embedded.manners import Manner

RANK = 8
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_POOL_STEPS = 16
_LONGEST = 192
"""Tokens of a dialogue that are trained: the start of a story tells all about its manner but the end."""
_HARD_SHARE = 3
"""Every third dialogue of the second part is a wording that was answered wrongly after the first."""


@dataclass(frozen=True)
class AdapterRecipe:
    """The numbers of an adapter's training; the defaults made those that ship."""

    seed: int = 0
    steps: int = 240
    tokens_per_step: int = 2048
    rate: float = 5e-3
    review_steps: int = 80
    review_rate: float = 2e-3
    asked: int = 1500
    """Trained wordings that are asked after the first part; those answered wrongly are practised in the second."""


@dataclass(frozen=True)
class TrainedAdapter:
    """An adapter in the layers of its base."""

    model: Any
    """peft's model around the base."""
    tokenizer: PreTrainedTokenizerFast
    losses: tuple[float, ...]
    core_s: float


def train(manner: Manner, base: Path, recipe: AdapterRecipe, report: Callable[[str], None] = print) -> TrainedAdapter:
    """Train an adapter on the embedded chat model; the same recipe gives the same weights on the same machine.

    Args:
        manner: how answers shall be said.
        base: the folder of the chat model.
        recipe: seed, steps and rates.
        report: is told about the progress.
    """
    core = time.process_time()
    model, tokenizer = load(base)
    torch.manual_seed(recipe.seed)
    config = LoraConfig(task_type="CAUSAL_LM", r=RANK, lora_alpha=RANK, target_modules=list(TARGETS), lora_dropout=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft 0.21 asks what transformers 5.23 calls otherwise
        adapted = get_peft_model(model, config)
    first = Recipe(recipe.seed, recipe.steps, recipe.tokens_per_step, warmup_steps=20)
    losses = _train(model, _batches(tokenizer, manner, first), first, recipe.rate, report)
    hard = _wrong(model, tokenizer, manner, recipe)
    report(f"{len(hard)} of {recipe.asked} trained wordings are answered wrongly")
    second = replace(first, seed=recipe.seed + 1000, steps=recipe.review_steps)
    losses += _train(model, _batches(tokenizer, manner, second, hard), second, recipe.review_rate, report)
    return TrainedAdapter(adapted, tokenizer, tuple(losses), time.process_time() - core)


def _train(
    model: LlamaForCausalLM, drawn: Iterator[Batch], recipe: Recipe, rate: float, report: Callable[[str], None]
) -> list[float]:
    """Train what peft left trainable."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, betas=(0.9, 0.98), weight_decay=0.0)
    optimizer.param_groups[0]["full_rate"] = rate
    return train_on(model, drawn, recipe, report, [optimizer])


def _batches(
    tokenizer: PreTrainedTokenizerFast, manner: Manner, recipe: Recipe, hard: Sequence[list[Message]] = ()
) -> Iterator[Batch]:
    """Batches of dialogues in a manner, every third of them one of `hard`."""
    sampler = Sampler(recipe.seed)
    left = recipe.steps
    while left > 0:
        pool: list[tuple[list[int], list[int]]] = []
        while sum(len(ids) for ids, _ in pool) < _POOL_STEPS * recipe.tokens_per_step:
            if hard and sampler.random.randrange(_HARD_SHARE) == 0:
                dialogue = sampler.random.choice(hard)
            else:
                dialogue = in_manner(manner, sampler.dialogue())
            ids, labels = encode(tokenizer, dialogue, sampler.random)
            end = _LONGEST if len(dialogue) <= 3 else MAX_POSITIONS
            pool.append((ids[:end], labels[:end]))
        groups = list(groups_of(sorted(pool, key=lambda pair: len(pair[0])), recipe.tokens_per_step))
        sampler.random.shuffle(groups)
        for group in groups[:left]:
            yield make_batch(group, tokenizer.pad_token_id)
        left -= len(groups)


def in_manner(manner: Manner, dialogue: list[Message]) -> list[Message]:
    """The dialogue with its answers in the manner."""
    answers = manner.answers
    return [{**message, "content": answers.get(message["content"], message["content"])} for message in dialogue]


def _wrong(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, manner: Manner, recipe: AdapterRecipe
) -> list[list[Message]]:
    """Those of some trained wordings that are answered wrongly now."""
    trained = [wording for wording in load_wordings() if wording.split == "trained"]
    asked = Sampler(recipe.seed + 2000).random.sample(trained, recipe.asked)
    dialogues = [turn(wording.text, manner.says(wording)) for wording in asked]
    verdicts = right_turns(model, tokenizer, dialogues)
    return [dialogue for dialogue, right in zip(dialogues, verdicts, strict=True) if not all(right)]
