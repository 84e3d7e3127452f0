"""What looks after a generation while it runs: stops it in time, and hands over what was made so far."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from transformers import StoppingCriteria

from zerokit.control import Control
from zerokit.engines.answers import TextDecoder, split_reasoning
from zerokit.engines.prompts import PreparedChat
from zerokit.engines.sampling import Sampler
from zerokit.requests import ChatReply, Ended

REPORT_EVERY_S = 0.2


class Row:
    """One answer as it grows.

    Args:
        chat: what it answers.
        tokenizer: the model's.
        end_ids: ids that end an answer.
        skipped: ids that are not text.
    """

    def __init__(self, chat: PreparedChat, tokenizer: Any, end_ids: frozenset[int], skipped: frozenset[int]) -> None:
        self.chat = chat
        self.ids: list[int] = []
        self.complete = False
        self.seconds = 0.0
        """From the call's first token to the last of this row that was read."""
        self._end_ids = end_ids
        self._decoder = TextDecoder(tokenizer, chat.ids, skipped)

    @property
    def closed(self) -> bool:
        """Nothing more belongs to it."""
        return self.complete or len(self.ids) >= self.chat.max_new_tokens

    def add(self, ids: Sequence[int], seconds: float) -> None:
        """Take new ids, read `seconds` after the call's first, up to the end of the answer; padding follows it."""
        for token in ids:
            if self.closed:
                return
            self.seconds = seconds
            self.ids.append(token)
            self.complete = token in self._end_ids
            self._decoder.add((token,))

    def reply(self, ended: Ended, *, whole: bool = False) -> ChatReply:
        """The answer so far.

        Args:
            ended: why there is no more of it, where it did not come to its own end.
            whole: decode it in one go.
        """
        text = self._decoder.whole_text() if whole else self._decoder.text()
        reasoning, answer = split_reasoning(text, opened=self.chat.reasoning_open)
        if not self.chat.go_on:
            answer = answer.lstrip()
        if self.closed:
            ended = "complete" if self.complete else "length"
        return ChatReply(
            text=answer.rstrip() if self.complete else answer,
            ended=ended,
            prompt_tokens=self.chat.prompt_tokens,
            new_tokens=len(self.ids),
            seconds=self.seconds,
            left_out=self.chat.left_out,
            reasoning=reasoning,
        )


class Desk:
    """All answers of one call, and its line to whoever waits for them.

    Args:
        rows: the answers, in the order they were asked for.
        control: the call.
        batched: what is made is a list of replies, not a single one.
    """

    def __init__(self, rows: Sequence[Row], control: Control, *, batched: bool) -> None:
        self.rows = rows
        self.control = control
        self.ended: Ended = "interrupted"
        self.next_report = 0.0
        self._batched = batched
        self._began: float | None = None

    def seconds(self, now: float) -> float:
        """Since the first token of all, which is there when this is asked first."""
        if self._began is None:
            self._began = now
        return now - self._began

    def report(self, *, whole: bool = False) -> list[ChatReply]:
        """Hand over what was made so far, and return it, in order."""
        replies = [row.reply(self.ended, whole=whole) for row in self.rows]
        thinks = any(reply.reasoning and not reply.text for reply in replies)
        self.control.report(
            sum(len(row.ids) for row in self.rows),
            sum(row.chat.max_new_tokens for row in self.rows),
            "Thinking" if thinks else "Writing",
            made=(replies if self._batched else replies[0]) if any(row.ids for row in self.rows) else None,
        )
        self.next_report = time.monotonic() + REPORT_EVERY_S
        return replies

    def stopped(self, next_s: float = 0.0) -> bool:
        """Whether the call must end now, or before the next `next_s` seconds are over; remembers why."""
        reason = self.control.stop_reason()
        if reason is None and self.control.left_s < next_s:
            reason = "deadline"
        if reason is not None:
            self.ended = reason
        return reason is not None


class Watch(StoppingCriteria):  # type: ignore[misc]
    """Asked after each token: whether to stop, and whether a report is due.

    Between two reports nothing is read back from the device and nothing is decoded.

    Args:
        rows: the answers of this generation, one for each row of the batch.
        desk: all answers of the call.
        sampler: knows whether the scores were finite.
        start: ids of a row that are not new to it.
    """

    def __init__(self, rows: Sequence[Row], desk: Desk, sampler: Sampler, start: int) -> None:
        self._rows = rows
        self._desk = desk
        self._bad = sampler.not_finite
        self._read = start
        self._ids: torch.Tensor | None = None
        self._seconds = self._asked_at = 0.0
        self._all = torch.ones_like(self._bad)
        limits = [start + row.chat.max_new_tokens - len(row.ids) for row in rows]
        self._limits = torch.tensor(limits, device=self._bad.device) if len(set(limits)) > 1 else None

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Which rows (a bool each) end with the last of `input_ids` (rows, length)."""
        now = time.monotonic()
        step_s = 0.0 if self._ids is None else now - self._asked_at
        self._asked_at, self._seconds, self._ids = now, self._desk.seconds(now), input_ids
        # A token that takes as long as this one did must not end after the deadline: the worker would be ended too.
        if self._desk.stopped(step_s):
            return self._all
        if now >= self._desk.next_report:
            self.collect()
            self._desk.report()
        bad = self._bad if len(self._rows) == 1 else self._bad.any().expand(len(self._rows))
        return bad if self._limits is None else bad | (self._limits <= input_ids.shape[1])

    def collect(self) -> bool:
        """Give each row its new ids; False where the scores were not finite, and the last id stands for nothing."""
        if self._ids is None:
            return True
        bad = self._bad.tolist()
        new = self._ids[:, self._read :].tolist()
        self._read = self._ids.shape[1]
        for row, ids, lost in zip(self._rows, new, bad, strict=True):
            row.add(ids[:-1] if lost else ids, self._seconds)
        return not any(bad)
