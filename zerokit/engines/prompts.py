"""From a conversation to the token ids that a model reads: checked, cut to the context, before any GPU is asked for."""

from __future__ import annotations

import bisect
import itertools
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jinja2

from zerokit.engines.shelf import Adapter, to_load, to_load_of_all
from zerokit.errors import RequestError
from zerokit.requests import MAX_SEED, AdapterChoice, ChatRequest, Message

DEFAULT_CONTEXT_TOKENS = 8192
"""For a model that names no limit."""
LEAST_ROOM = 16
"""Tokens that must be free for an answer to the last message alone."""

THINK, END_THINK = "<think>", "</think>"
_REASONING = re.compile(r"^\s*<think>.*?</think>\s*", re.DOTALL)
_TEMPLATE_ERRORS = (jinja2.TemplateError, ValueError, TypeError)
_BREAK = "\ufdd0"  # a noncharacter: no text may hold it, so it can mark where a text is cut for the tokenizer


@dataclass(frozen=True)
class PreparedChat:
    """One question as the model reads it; small, picklable, and all that `TextEngine.generate` needs."""

    ids: tuple[int, ...]
    max_new_tokens: int
    """At most what was asked for, and what the context leaves."""
    seed: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    left_out: int = 0
    """Messages at the start of the conversation that did not fit."""
    go_on: bool = False
    reasoning_open: bool = False
    """The prompt ends inside the model's reasoning."""
    adapters: tuple[AdapterChoice, ...] = ()
    """Active in this answer and in no other."""
    away: tuple[Adapter, ...] = ()
    """Those of them that may not be loaded where the answer is made; once they are, they stay for a while."""
    extra: tuple[Adapter, ...] = ()
    """Those that came with the request; they are loaded for this answer and removed after it."""

    @property
    def prompt_tokens(self) -> int:
        return len(self.ids)

    @property
    def chosen(self) -> tuple[AdapterChoice, ...]:
        """The adapters that really act."""
        return tuple(choice for choice in self.adapters if choice.weight)

    @property
    def active_adapters(self) -> int:
        return len(self.chosen)

    @property
    def to_load(self) -> float:
        """What may have to be loaded first, in adapters of 100 MB or less."""
        return to_load(self.chosen, (*self.away, *self.extra))


@dataclass(frozen=True)
class PreparedBatch:
    """Several questions for one call."""

    chats: tuple[PreparedChat, ...]

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the longest prompt: the others are padded to it."""
        return max(chat.prompt_tokens for chat in self.chats)

    @property
    def max_new_tokens(self) -> int:
        return max(chat.max_new_tokens for chat in self.chats)

    @property
    def active_adapters(self) -> int:
        """Of the answer that has the most."""
        return max(chat.active_adapters for chat in self.chats)

    @property
    def to_load(self) -> float:
        """Of all answers, each adapter once."""
        return to_load_of_all(self.chats)


class PromptWriter:
    """Writes conversations down with a tokenizer's chat template.

    Args:
        tokenizer: with a chat template.
        context_tokens: what prompt and answer may have together.
    """

    def __init__(self, tokenizer: Any, context_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._context_tokens = context_tokens
        self._control = _control_tokens(tokenizer)

    def prepare(self, request: ChatRequest) -> PreparedChat:
        """The request as token ids, without its oldest messages where the context is too small for all.

        Raises:
            RequestError: the last message alone does not fit, or the chat template refuses the conversation.
        """
        head, tail, keep = _split(request.messages)
        ids, text, left_out = self._fit(head, tail, keep, request)
        return PreparedChat(
            ids=tuple(ids),
            max_new_tokens=min(request.max_new_tokens, self._context_tokens - len(ids)),
            seed=secrets.randbelow(MAX_SEED + 1) if request.seed is None else request.seed,
            temperature=float(request.temperature),
            top_p=float(request.top_p),
            top_k=request.top_k,
            repetition_penalty=float(request.repetition_penalty),
            left_out=left_out,
            go_on=request.go_on,
            reasoning_open=_opens_reasoning(request.messages[-1].content)
            if request.go_on
            else text.rstrip().endswith(THINK),
            adapters=request.adapters,
        )

    def _fit(
        self, head: Sequence[Message], tail: Sequence[Message], keep: int, request: ChatRequest
    ) -> tuple[list[int], str, int]:
        """Ids and text of head + as much of the end of `tail` as fits, and how many messages of it were left out."""
        room = min(request.max_new_tokens, max(LEAST_ROOM, self._context_tokens // 4))
        starts = _starts(tail, keep)
        first = bisect.bisect_left(starts, self._first_that_can_fit(tail[:-keep]))

        def written(index: int) -> tuple[list[int], str]:
            return self._write([*head, *tail[starts[index] :]], request.go_on)

        ids, text = written(first)
        if len(ids) + room <= self._context_tokens:
            return ids, text, starts[first]
        # The prompt gets shorter with every message left out, so the first start that fits is found by halving.
        later = range(first + 1, len(starts))
        skipped = bisect.bisect_left(later, True, key=lambda i: len(written(i)[0]) + room <= self._context_tokens)
        best = min(first + 1 + skipped, len(starts) - 1)
        ids, text = written(best)
        least = min(request.max_new_tokens, LEAST_ROOM)
        if len(ids) + least > self._context_tokens:
            raise RequestError(
                f"The message has {len(ids):,} tokens with what belongs to it, and this model reads at most "
                f"{self._context_tokens - least:,}."
            )
        return ids, text, starts[best]

    def _first_that_can_fit(self, messages: Sequence[Message]) -> int:
        """Before which message nothing can fit, found from the end without tokenizing what is far too long."""
        left = self._context_tokens
        if sum(len(message.content) for message in messages) <= left:
            return 0
        for index in range(len(messages) - 1, -1, -1):
            left -= len(self._encode(messages[index].content))
            if left < 0:
                return index + 1
        return 0

    def _write(self, messages: Sequence[Message], go_on: bool) -> tuple[list[int], str]:
        """Token ids of the conversation, and its text."""
        turns = [
            {
                "role": m.role,
                "content": self._without_control(_without_reasoning(m, go_on and m is messages[-1])),
            }
            for m in messages
        ]
        opened = ""
        if go_on and _opens_reasoning(messages[-1].content):
            opened = messages[-1].content.lstrip()
            turns.pop()
        text = self._render(turns, go_on and not opened)
        if opened:
            if text.rstrip().endswith(THINK):
                text = text.rstrip().removesuffix(THINK)
            text += THINK + self._without_control(opened[len(THINK) :])
        # The template writes the special tokens itself. Cut at the marks, what a visitor typed never is one.
        ids = [token for part in text.split(_BREAK) if part for token in self._encode(part)]
        return ids, text.replace(_BREAK, "")

    def _render(self, turns: list[dict[str, str]], go_on: bool) -> str:
        try:
            return self._apply(turns, go_on)
        except _TEMPLATE_ERRORS as exc:
            plain = _plainer(turns)
            if plain == turns:
                raise _refused(exc) from exc
        try:
            return self._apply(plain, go_on)
        except _TEMPLATE_ERRORS as exc:
            raise _refused(exc) from exc

    def _apply(self, turns: list[dict[str, str]], go_on: bool) -> str:
        text: str = self._tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=not go_on, continue_final_message=go_on
        )
        return text

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False, verbose=False)
        return ids

    def _without_control(self, content: str) -> str:
        """`content` with a mark inside everything that the tokenizer would take for a control token."""
        content = content.replace(_BREAK, "")
        if self._control is None:
            return content
        parts = [content]
        done = False
        while not done:
            cut = [piece for part in parts for piece in self._cut(part)]
            done = len(cut) == len(parts)
            parts = cut
        return _BREAK.join(parts)

    def _cut(self, text: str) -> list[str]:
        """`text` cut after the first character of each control token in it."""
        assert self._control is not None
        places = [0, *(match.start() + 1 for match in self._control.finditer(text)), len(text)]
        return [text[a:b] for a, b in itertools.pairwise(places)]


def _split(messages: Sequence[Message]) -> tuple[list[Message], list[Message], int]:
    """The system messages at the start, the rest, and how many at its end must stay: from the last question on."""
    first = next(i for i, message in enumerate(messages) if message.role != "system")
    head, tail = list(messages[:first]), list(messages[first:])
    questions = [i for i, message in enumerate(tail) if message.role == "user"]
    return head, tail, len(tail) - (questions[-1] if questions else len(tail) - 1)


def _starts(tail: Sequence[Message], keep: int) -> list[int]:
    """Where the conversation may start: at its start, at any question, and at the last that must stay."""
    last = len(tail) - keep
    return [0, *(i for i in range(1, last) if tail[i].role == "user"), *([last] if last else [])]


def _opens_reasoning(content: str) -> bool:
    return content.lstrip().startswith(THINK) and END_THINK not in content


def _without_reasoning(message: Message, continued: bool) -> str:
    """What is sent back of a message: of an earlier answer only the answer, not what the model thought first."""
    if message.role != "assistant" or continued:
        return message.content
    return _REASONING.sub("", message.content)


def _plainer(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """The same for a template with fewer roles: instructions inside the first question, turns that alternate."""
    system = [turn["content"] for turn in turns if turn["role"] == "system"]
    plain: list[dict[str, str]] = []
    for turn in turns:
        if turn["role"] == "system" or (not plain and turn["role"] == "assistant"):
            continue
        if plain and plain[-1]["role"] == turn["role"]:
            plain[-1]["content"] += "\n\n" + turn["content"]
        else:
            plain.append(dict(turn))
    if plain and system:
        plain[0]["content"] = "\n\n".join([*system, plain[0]["content"]])
    return plain or turns


def _refused(exc: Exception) -> RequestError:
    reason = str(exc).splitlines()[0][:200] if str(exc) else type(exc).__name__
    return RequestError(f"This model's chat template refuses the conversation: {reason.replace(_BREAK, '')}")


def _control_tokens(tokenizer: Any) -> re.Pattern[str] | None:
    """What matches the tokenizer's special tokens and the added ones that the chat template writes."""
    template = tokenizer.chat_template
    written = "".join(template.values()) if isinstance(template, dict) else str(template)
    tokens = {
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if len(token.content.strip()) > 1
        and (token.special or token.content in written or token.content in (THINK, END_THINK))
    }
    if not tokens:
        return None
    return re.compile("|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True)))


def context_tokens(config: Any, tokenizer: Any) -> int:
    """Prompt and answer together may have so many tokens."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    limits = [getattr(text, name, None) for name in ("max_position_embeddings", "max_sequence_length", "seq_length")]
    limits.append(tokenizer.model_max_length)
    known = [limit for limit in limits if isinstance(limit, int) and 0 < limit < 10**9]
    return min(known, default=DEFAULT_CONTEXT_TOKENS)
