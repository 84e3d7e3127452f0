"""Which token comes next: each row of a batch by its own settings, with its own random numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from transformers import LogitsProcessor

_NEVER_ONE = 1 - 1e-6


class Settings(Protocol):
    """What sampling asks of a prepared chat."""

    @property
    def temperature(self) -> float: ...
    @property
    def top_p(self) -> float: ...
    @property
    def top_k(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def max_new_tokens(self) -> int: ...


class Sampler(LogitsProcessor):  # type: ignore[misc]
    """Chooses the next token of every row, and sets its score to infinity so that a greedy search takes it.

    Sampling here, and not in `generate(do_sample=True)`, keeps the global random state of torch out of it: rows have
    seeds of their own, threads do not disturb each other, and a worker does not repeat the numbers it was forked with.
    All of a row's random numbers are drawn at the start, on the CPU, one per token: the same on every device.

    Args:
        chats: the settings, one for each row.
        device: where the scores will be.
        start: tokens made before; their random numbers are skipped.
        min_p: the least share of the likeliest token's probability that a token must have.
    """

    def __init__(self, chats: Sequence[Settings], device: torch.device, *, start: int = 0, min_p: float = 0.0) -> None:
        self.not_finite = torch.zeros(len(chats), dtype=torch.bool, device=device)
        self._step = start
        self._min_p = min_p
        self._greedy = all(chat.temperature == 0 for chat in chats)
        if self._greedy:
            return
        length = max(chat.max_new_tokens for chat in chats)
        self._uniform = torch.stack([_uniform(chat, length) for chat in chats]).to(device).unsqueeze(-1)
        self._temperature = _column([chat.temperature or 1.0 for chat in chats], device)
        self._top_p = _column([chat.top_p for chat in chats], device)
        wanted = [chat.top_k or None for chat in chats]
        self._most = None if None in wanted else max(k for k in wanted if k is not None)
        self._limits = None if len(set(wanted)) == 1 else _column([k or 2**30 for k in wanted], device)
        self._cuts = any(chat.top_p < 1 for chat in chats)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """`scores` (rows, vocabulary) with the chosen tokens at infinity. Nothing is read back from a card."""
        if self._greedy:
            self._notice(scores.amax(-1))
            return scores
        size = scores.shape[-1]
        values, tokens = scores.topk(min(self._most or size, size))
        # NaN sorts first, and -inf is first only where everything is: the first value tells of all.
        self._notice(values[:, 0])
        place = self._pick(values).clamp_(max=values.shape[-1] - 1)
        self._step += 1
        return scores.scatter_(-1, tokens.gather(-1, place), torch.inf)

    def _notice(self, largest: torch.Tensor) -> None:
        """Remember the rows whose largest score is NaN or infinite."""
        # A card is not waited for. On a CPU there is nothing to wait for, and a look is cheaper.
        if largest.is_cpu and all(map(math.isfinite, largest.tolist())):
            return
        self.not_finite |= ~largest.isfinite()

    def _pick(self, values: torch.Tensor) -> torch.Tensor:
        """The place (rows, 1) of the chosen one among `values` (rows, candidates), which are sorted, largest first."""
        values = values / self._temperature
        if self._limits is not None:
            ranks = torch.arange(values.shape[-1], device=values.device)
            values = values.masked_fill(ranks >= self._limits, -torch.inf)
        shares = values.softmax(-1)
        if self._min_p:
            shares = shares * (shares >= self._min_p * shares[:, :1])
            shares = shares / shares.sum(-1, keepdim=True)
        summed = shares.cumsum(-1)
        if self._cuts:
            # A candidate stays while those before it have not yet reached top_p; the first always does.
            shares = shares * (summed - shares < self._top_p)
            summed = shares.cumsum(-1)
        target = self._uniform[:, self._step] * summed[:, -1:]
        return (summed <= target).sum(-1, keepdim=True)


def _uniform(chat: Settings, length: int) -> torch.Tensor:
    """`length` numbers from 0 to just under 1; zeros, which always pick the likeliest, for a greedy row."""
    if chat.temperature == 0:
        return torch.zeros(length)
    generator = torch.Generator().manual_seed(chat.seed)
    return torch.rand(length, generator=generator).clamp_(max=_NEVER_ONE)


def _column(values: Sequence[float], device: torch.device) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device).unsqueeze(-1)
