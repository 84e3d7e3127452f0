"""From token ids to an answer: decoded as they come, the model's reasoning told apart."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from zerokit.engines.prompts import END_THINK, THINK

_CONTEXT = 4
"""Tokens of the prompt that are decoded along: some tokenizers drop a space at the start of a text."""
_WINDOW = 64
"""Tokens after which an unfinished character is no longer waited for."""
_UNFINISHED = "\ufffd"


class TextDecoder:
    """Decodes a growing row of tokens, each of them about once.

    Args:
        tokenizer: the model's.
        prompt_ids: what the tokens follow.
        skipped: ids that are not text, such as the one that ends an answer.
    """

    def __init__(self, tokenizer: Any, prompt_ids: Sequence[int], skipped: Collection[int]) -> None:
        self._tokenizer = tokenizer
        self._skipped = skipped
        self._ids = [token for token in prompt_ids[-_CONTEXT:] if token not in skipped]
        self._prompt_length = len(self._ids)
        self._prefix = 0
        self._read = self._prompt_length
        self._done = ""

    def add(self, ids: Sequence[int]) -> None:
        """Take the next tokens; nothing is decoded yet."""
        self._ids.extend(token for token in ids if token not in self._skipped)

    def text(self) -> str:
        """All text so far, but for a character whose last bytes are still to come."""
        before = self._decode(self._ids[self._prefix : self._read])
        new = self._decode(self._ids[self._prefix :])[len(before) :]
        if new.endswith(_UNFINISHED) and len(self._ids) - self._read < _WINDOW:
            return self._done + new.rstrip(_UNFINISHED)
        self._done += new
        self._prefix, self._read = self._read, len(self._ids)
        return self._done.rstrip(_UNFINISHED)

    def whole_text(self) -> str:
        """All text, decoded in one go."""
        before = self._decode(self._ids[: self._prompt_length])
        return self._decode(self._ids)[len(before) :].rstrip(_UNFINISHED)

    def _decode(self, ids: Sequence[int]) -> str:
        if not ids:
            return ""
        # Special tokens are left out above and not here, where a special "</think>" would be lost with them.
        text: str = self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text


def end_ids(config: Any, tokenizer: Any) -> frozenset[int]:
    """Ids that end an answer: those of the model's settings and the tokenizer's, which often differ."""
    own = config.eos_token_id
    ids = {*(own if isinstance(own, list) else [own]), tokenizer.eos_token_id}
    return frozenset(token for token in ids if token is not None)


def think_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of the reasoning marks: text for us, even where the tokenizer calls them special."""
    return frozenset(i for i, token in tokenizer.added_tokens_decoder.items() if token.content in (THINK, END_THINK))


def split_reasoning(text: str, *, opened: bool) -> tuple[str, str]:
    """What the model thought, and its answer.

    Args:
        text: all that the model wrote so far.
        opened: the prompt already opened the reasoning.
    """
    if not opened:
        start = text.lstrip()
        if start and THINK.startswith(start):
            return "", ""  # the mark itself is still being written
        if not start.startswith(THINK):
            return "", text
    text = text.lstrip().removeprefix(THINK)  # some models write it again
    reasoning, mark, answer = text.partition(END_THINK)
    if not mark:
        reasoning = _without_start_of(END_THINK, reasoning)
    return reasoning.strip(), answer.lstrip()


def _without_start_of(mark: str, text: str) -> str:
    """`text` without a first part of `mark` at its end, which is still being written."""
    for length in range(len(mark) - 1, 0, -1):
        if text.endswith(mark[:length]):
            return text[:-length]
    return text
