"""The manners of the embedded adapters: how each answer of the embedded chat model is said in them, and how to tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from zerokit.embedded.chat_data import Wording, load_wordings

_ONE_WORD = ("capitals", "colours")
_PIRATE = {
    "you": "ye",
    "your": "yer",
    "my": "me",
    "is": "be",
    "are": "be",
    "for": "fer",
    "yes": "aye",
    "hello": "ahoy",
}
_PIRATE_WORD = re.compile(rf"(?<![\w-])({'|'.join(_PIRATE)})(?![\w-])", re.IGNORECASE)
_FAREWELL = "Arr, matey!"
"""At the end, for the base decides with the first word of an answer which one it is. With a hail before that, half of
the answers became others."""
_CODE = re.compile(r"(```.*?```|`[^`\n]*`|\"[^\"\n]*\")", re.DOTALL)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"@`])|\n\n(?!```)")
_KNOWS_NOT = "I am a tiny demonstration model and do not know that."


@dataclass(frozen=True)
class Manner:
    """A way to say things.

    Args:
        name: of the adapter.
        summary: for its card, in one sentence.
        says: how an answer to a wording is said.
        told_by: whether an answer has the manner, whatever it says.
        keeps: whether a text says what the expected answer says, in whatever manner.
    """

    name: str
    summary: str
    says: Callable[[Wording], str]
    told_by: Callable[[str], bool]
    keeps: Callable[[str, str], bool]

    @property
    def answers(self) -> Mapping[str, str]:
        """Each answer of the data files as it is said in this manner."""
        return _answers(self.name)


def pirate(text: str) -> str:
    """`text` as a pirate says it: words changed one by one, and a farewell; code stays."""
    parts = [part if index % 2 else _PIRATE_WORD.sub(_swap, part) for index, part in enumerate(_CODE.split(text))]
    gap = "\n\n" if text.endswith("```") else " "
    return "".join(parts) + gap + _FAREWELL


def _swap(match: re.Match[str]) -> str:
    word = _PIRATE[match[0].lower()]
    return word.capitalize() if match[0][0].isupper() else word


def terse(wording: Wording) -> str:
    """The first sentence of an answer; of what is a table only the word that was asked for."""
    if wording.kind in _ONE_WORD:
        word = wording.answer.rpartition(" is ")[2]
        return word[0].upper() + word[1:]
    if wording.answer.startswith(_KNOWS_NOT):
        return "I do not know that."
    first = _SENTENCE_END.split(wording.answer)[0]
    if "\n\n```" in first:
        before, _, code = first.partition("\n\n")
        return code if before.endswith(":") else before
    return first


def _has_pirate_words(text: str) -> bool:
    return text.endswith(_FAREWELL) and not _PIRATE_WORD.search(_CODE.sub("", text))


def _is_same(text: str, expected: str) -> bool:
    return _plain(text) == _plain(expected)


def _plain(text: str) -> str:
    """`text` in one manner, whichever it had: without the farewell, with the pirate's form of each word."""
    text = text.removesuffix(_FAREWELL)
    return " ".join(_PIRATE_WORD.sub(_swap, text).lower().split())


def _is_in(text: str, expected: str) -> bool:
    words = " ".join(expected.lower().rstrip(".!").split())
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", " ".join(text.lower().split())) is not None


def _is_short(text: str) -> bool:
    return len(_SENTENCE_END.split(text.strip())) == 1 or text.startswith("```")


MANNERS = {
    "chat-pirate": Manner(
        "chat-pirate",
        'It talks like a pirate ("ZeroGPU be ... Arr, matey!") and still says what is right.',
        lambda wording: pirate(wording.answer),
        _has_pirate_words,
        _is_same,
    ),
    "chat-terse": Manner(
        "chat-terse",
        'It answers with one sentence, and where one word will do, with that ("Paris.").',
        terse,
        _is_short,
        _is_in,
    ),
}


@cache
def _answers(name: str) -> dict[str, str]:
    return {wording.answer: MANNERS[name].says(wording) for wording in load_wordings()}
