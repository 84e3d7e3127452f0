"""Trains the embedded chat model from scratch: about a quarter of an hour on one CPU core.

Dialogues are drawn anew for every step, and only what the assistant says counts for the loss. Matrices are
trained with Muon (momentum made orthogonal, https://kellerjordan.github.io/posts/muon/), embeddings and norms
with AdamW: a training of 100 steps ended at a loss of 1.7 this way, and at 3.2 with AdamW for everything.
"""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from zerokit.embedded.chat_data import Message, Sampler
from zerokit.embedded.chat_model import ASSISTANT, END, MAX_POSITIONS, SYSTEM, USER, new_model, train_tokenizer

Batch = tuple[torch.Tensor, torch.Tensor]
"""Ids and labels, both rows x tokens."""

IGNORED = -100
_POOL_STEPS = 16
_CUT_SHARE = 0.15
_OPENING_SHARE = 0.9
_OPENING_TOKENS = 10
"""Of most single questions only the first tokens of the answer are trained: they decide which answer it is, and
the rest is learnt soon. So far more questions fit into a step."""
_TAGS = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}


@dataclass(frozen=True)
class Recipe:
    """The numbers of a training; the defaults made the model that ships.

    `tokens_per_step` counts padding as well, and so bounds the time of a step.
    """

    seed: int = 0
    steps: int = 800
    tokens_per_step: int = 4096
    matrix_rate: float = 0.02
    other_rate: float = 4e-3
    warmup_steps: int = 40
    hidden: int = 192
    layers: int = 5


@dataclass(frozen=True)
class Trained:
    """A trained model with what the training took."""

    model: LlamaForCausalLM
    tokenizer: PreTrainedTokenizerFast
    losses: tuple[float, ...]
    clock_s: float
    core_s: float


def train(recipe: Recipe, report: Callable[[str], None] = print) -> Trained:
    """Train a chat model from scratch; the same recipe is made to give the same weights on the same machine.

    Args:
        recipe: seed, steps, rates and size.
        report: is told about the progress every 50 steps.
    """
    clock, core = time.monotonic(), time.process_time()
    torch.manual_seed(recipe.seed)
    tokenizer = train_tokenizer()
    model = new_model(tokenizer, hidden=recipe.hidden, layers=recipe.layers)
    losses = train_on(model, batches(tokenizer, recipe), recipe, report)
    return Trained(model, tokenizer, tuple(losses), time.monotonic() - clock, time.process_time() - core)


def train_on(
    model: LlamaForCausalLM,
    drawn: Iterator[Batch],
    recipe: Recipe,
    report: Callable[[str], None] = lambda line: None,
    optimizers: Sequence[torch.optim.Optimizer] = (),
) -> list[float]:
    """Train a model on batches, with the rates of the recipe; return the loss of every step.

    Args:
        model: is trained in place.
        drawn: the batches, one for each step.
        recipe: steps, warm-up, and the rates.
        report: is told about the progress every 50 steps.
        optimizers: of what is to be trained, each group with its "full_rate"; none: of the whole model.
    """
    clock = time.monotonic()
    optimizers = optimizers or _optimizers(model, recipe)
    losses = []
    model.train()
    for step, (ids, labels) in enumerate(drawn):
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["full_rate"] * _schedule(step, recipe)
        loss = _loss(model, ids, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        model.zero_grad(set_to_none=True)
        losses.append(loss.item())
        if step % 50 == 49 or step + 1 == recipe.steps:
            recent = losses[-50:]
            report(f"step {step + 1:5d}  loss {sum(recent) / len(recent):.4f}  {time.monotonic() - clock:4.0f} s")
    model.eval()
    return losses


def encode(
    tokenizer: PreTrainedTokenizerFast, messages: list[Message], draw: random.Random | None = None
) -> tuple[list[int], list[int]]:
    """Return ids and labels of a dialogue: what the chat template gives, with labels on the assistant's tokens.

    With `draw` some questions are cut at random letters before they become tokens, so that the model learns to
    read words in pieces, as misspelt ones are.
    """
    ids: list[int] = []
    labels: list[int] = []
    backend = tokenizer.backend_tokenizer
    for message in messages:
        tag = backend.token_to_id(_TAGS[message["role"]])
        parts = [message["content"]]
        if draw is not None and message["role"] == "user" and draw.random() < _CUT_SHARE:
            parts = _cut(parts[0], draw)
        content = [*(id_ for part in parts for id_ in backend.encode(part).ids), backend.token_to_id(END)]
        ids += [tag, *content]
        labels += [IGNORED, *(content if message["role"] == "assistant" else [IGNORED] * len(content))]
    return ids, labels


def _cut(text: str, draw: random.Random) -> list[str]:
    places = sorted({0, len(text), *(draw.randrange(len(text)) for _ in range(draw.randint(1, 4)))})
    return [text[start:end] for start, end in itertools.pairwise(places)]


def batches(tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> Iterator[Batch]:
    """Draw `recipe.steps` batches of dialogues of similar length, so that little of a batch is padding."""
    sampler = Sampler(recipe.seed)
    left = recipe.steps
    while left > 0:
        pool: list[tuple[list[int], list[int]]] = []
        while sum(len(ids) for ids, _ in pool) < _POOL_STEPS * recipe.tokens_per_step:
            dialogue = sampler.dialogue()
            ids, labels = encode(tokenizer, dialogue, sampler.random)
            end = MAX_POSITIONS
            if len(dialogue) == 2 and sampler.random.random() < _OPENING_SHARE:
                end = next(place for place, label in enumerate(labels) if label != IGNORED) + _OPENING_TOKENS
            pool.append((ids[:end], labels[:end]))
        groups = list(groups_of(sorted(pool, key=lambda pair: len(pair[0])), recipe.tokens_per_step))
        sampler.random.shuffle(groups)
        for group in groups[:left]:
            yield make_batch(group, tokenizer.pad_token_id)
        left -= len(groups)


def groups_of(
    pool: list[tuple[list[int], list[int]]], tokens_per_step: int
) -> Iterator[list[tuple[list[int], list[int]]]]:
    """Cut `pool`, shortest first, into groups that hold `tokens_per_step` tokens when they are padded."""
    group: list[tuple[list[int], list[int]]] = []
    for pair in pool:
        if group and (len(group) + 1) * len(pair[0]) > tokens_per_step:
            yield group
            group = []
        group.append(pair)
    yield group


def make_batch(group: list[tuple[list[int], list[int]]], pad: int) -> Batch:
    """Pad on the right: with a causal mask nothing real ever looks at padding, so no mask is needed.

    Lengths are multiples of 32, because the CPU kernels are built anew for every shape they meet.
    """
    length = math.ceil(max(len(ids) for ids, _ in group) / 32) * 32 + 1
    ids = torch.tensor([ids + [pad] * (length - len(ids)) for ids, _ in group])
    labels = torch.tensor([labels + [IGNORED] * (length - len(labels)) for _, labels in group])
    return ids, labels


def _loss(model: LlamaForCausalLM, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the assistant's tokens; the scores of all other tokens are never computed."""
    counted = labels[:, 1:] != IGNORED
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(ids[:, :-1], use_cache=False).last_hidden_state
        scores = model.lm_head(hidden[counted])
    return torch.nn.functional.cross_entropy(scores.float(), labels[:, 1:][counted])


def _schedule(step: int, recipe: Recipe) -> float:
    """Warm up, then fall to zero along a cosine."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * done))


def _optimizers(model: LlamaForCausalLM, recipe: Recipe) -> list[torch.optim.Optimizer]:
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    adamw = torch.optim.AdamW(others, lr=recipe.other_rate, betas=(0.9, 0.98), weight_decay=0.0)
    optimizers = [Muon(matrices, recipe.matrix_rate), adamw]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["full_rate"] = group["lr"]
    return optimizers


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made nearly orthogonal by five Newton-Schulz steps (torch has it from 2.9 on)."""

    def __init__(self, matrices: list[torch.nn.Parameter], rate: float, momentum: float = 0.95) -> None:
        super().__init__(matrices, {"lr": rate, "momentum": momentum, "weight_decay": 0.02})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            for matrix in group["params"]:
                average = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix))
                average.lerp_(matrix.grad, 1 - group["momentum"])
                update = orthogonal(matrix.grad.lerp(average, group["momentum"]))
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(update, alpha=-group["lr"] * max(1.0, matrix.size(0) / matrix.size(1)) ** 0.5)


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """The nearest orthogonal matrix, roughly: all singular values end up between about 0.7 and 1.2."""
    tall = matrix.size(0) > matrix.size(1)
    x = (matrix.T if tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.775 * square + 2.0315 * square @ square) @ x
    return (x.T if tall else x).to(matrix.dtype)
