"""Trains the text encoder of the embedded image model to tell what a prompt says, before anything is drawn.

A UNet that learns to read and to draw at once learns colours and hardly any shape: the pictures teach it too little of
the words. Here words are learnt from words alone, which takes a minute, and then stay as they are.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import torch
from transformers import CLIPTextModel, CLIPTokenizer

from zerokit.embedded.image_data import BACKGROUNDS, COLOURS, SHAPES
from zerokit.embedded.image_model import MAX_TOKENS, new_text_encoder
from zerokit.embedded.image_prompts import PLACES, RELATIONS, SIZES, Request, Sampler

_OF_ITEM: tuple[tuple[str | None, ...], ...] = (
    (None, *SHAPES),
    (None, *COLOURS),
    (None, *SIZES),
)
_OF_SCENE: tuple[tuple[str | int | None, ...], ...] = (
    (1, 2, 3),
    (None, *PLACES),
    (None, *RELATIONS),
    tuple(BACKGROUNDS),
)
_ANSWERS = (*_OF_ITEM, *_OF_ITEM, *_OF_SCENE)
"""What can be answered to each question about a prompt: of its first item, of its second, of the whole."""
_PLAIN_SHARE = 0.2


def train_text_encoder(
    tokenizer: CLIPTokenizer, sampler: Sampler, *, hidden: int, steps: int, batch: int, report: Callable[[str], None]
) -> CLIPTextModel:
    """Train a text encoder until what a prompt says can be read off each place after its last word.

    Args:
        tokenizer: from `train_tokenizer`.
        sampler: of requests and their wordings.
        hidden: its width.
        steps: of the training.
        batch: wordings in each.
        report: is told about the progress every 100 steps.
    """
    encoder = new_text_encoder(tokenizer, hidden=hidden)
    heads = torch.nn.Linear(hidden, sum(map(len, _ANSWERS)))
    both = torch.nn.ModuleList([encoder, heads]).train()
    optimizer = torch.optim.AdamW(both.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01)
    began = time.monotonic()
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = (
            2e-3 * min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
        )
        requests = [
            sampler.plain() if sampler.random.random() < _PLAIN_SHARE else sampler.request() for _ in range(batch)
        ]
        guesses, answers = _ask(encoder, heads, tokenizer, sampler, requests)
        loss = torch.stack(
            [torch.nn.functional.cross_entropy(*pair) for pair in zip(guesses, answers, strict=True)]
        ).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(both.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if (step + 1) % 100 == 0 or step + 1 == steps:
            right = torch.stack([guess.argmax(1) == answer for guess, answer in zip(guesses, answers, strict=True)])
            share = right.all(0).float().mean().item()
            report(f"text step {step + 1:5d}  wholly understood {share:.3f}  {time.monotonic() - began:4.0f} s")
    return encoder.eval().requires_grad_(False)


def _ask(
    encoder: CLIPTextModel,
    heads: torch.nn.Linear,
    tokenizer: CLIPTokenizer,
    sampler: Sampler,
    requests: Sequence[Request],
) -> tuple[Sequence[torch.Tensor], Sequence[torch.Tensor]]:
    """Scores for all answers to each question, and the right ones.

    Half of the prompts are read off their very end, the others off any place after it: the UNet looks at all of them.
    """
    ids = as_ids(tokenizer, [sampler.wording(request) for request in requests])
    ends = (ids == tokenizer.eos_token_id).int().argmax(1)
    places = ends + (torch.rand(len(ids)) * (MAX_TOKENS - ends)).long()
    places[: len(ids) // 2] = ends[: len(ids) // 2]
    hidden = encoder(ids).last_hidden_state[torch.arange(len(ids)), places]
    answers = torch.tensor([_answers(request) for request in requests])
    return heads(hidden).split([len(each) for each in _ANSWERS], 1), answers.unbind(1)


def _answers(request: Request) -> list[int]:
    items = [*request.items, None][:2]
    said: list[str | int | None] = []
    for item in items:
        said += [item.shape, item.colour, item.size] if item else [None, None, None]
    said += [request.count, request.place, request.relation, request.ground]
    return [possible.index(answer) for possible, answer in zip(_ANSWERS, said, strict=True)]


def as_ids(tokenizer: CLIPTokenizer, wordings: Sequence[str]) -> torch.Tensor:
    """What the text encoder reads: wordings x tokens."""
    return torch.tensor(
        tokenizer(list(wordings), padding="max_length", truncation=True, max_length=MAX_TOKENS).input_ids
    )
