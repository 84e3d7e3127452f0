"""Draws the dialogues that the embedded chat model is trained on: other ones every time, the same for a seed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

from zerokit.embedded.chat_data.wordings import Wording, expand, load_tables, load_wordings, normal_form

Message = dict[str, str]
"""A message as chat templates take it: `role` and `content`."""

MAX_TURNS = 10
_SHARES = {
    "topics": 38,
    "talk": 21,
    "long": 6,
    "sums": 13,
    "capitals": 7,
    "colours": 4,
    "names": 2,
    "unknown": 8,
    "gibberish": 3,
}
_ALONE = 0.9
"""The share of dialogues of one turn. With few tokens each, they are about half of what is read."""
_CANONICAL = 0.15
_CLEAN = 0.35
_HELD_OUT_SLOTS = 5
"""Every fifth filler of the unknown things is kept for the evaluation."""


class Sampler:
    """Draws questions, dialogues and system messages, all from one seed.

    Args:
        seed: the same seed draws the same dialogues in the same order.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.tables = load_tables()
        self.held_out = {normal_form(w.text) for w in load_wordings() if w.split != "trained"}
        self.pools = _pools([w for w in load_wordings() if w.split == "trained"])
        self.unknown_patterns = _expand_all(self.tables["unknown"]["patterns"])

    def question(self) -> tuple[str, str]:
        """Draw a question, perhaps with words around it or misspelt, and its answer."""
        kind = self.random.choices(list(_SHARES), weights=list(_SHARES.values()))[0]
        if kind == "unknown" and self.random.random() < 0.7:
            return self._dirty(self.unknown_question(), self.tables["unknown"]["answer"])
        if kind == "gibberish" and self.random.random() < 0.7:
            return self.gibberish(), self.tables["gibberish"]["answer"]
        pool = self.pools[kind]
        wordings = self.random.choices(pool, weights=[len(topic) ** 0.5 for topic in pool])[0]
        wording = wordings[0] if self.random.random() < _CANONICAL else self.random.choice(wordings)
        return self._dirty(wording.text, wording.answer)

    def dialogue(self) -> list[Message]:
        """Draw a dialogue of one to ten turns, a quarter of them with a system message."""
        draw = self.random
        turns = 1 if draw.random() < _ALONE else draw.randint(2, MAX_TURNS)
        messages = [{"role": "system", "content": self.system()}] if draw.random() < 0.25 else []
        for _ in range(turns):
            messages += turn(*self.question())
        return messages

    def system(self) -> str:
        """Draw a system message of one to three sentences."""
        prompts = self.tables["system"]["prompts"]
        return " ".join(self.random.sample(prompts, self.random.choice([1, 1, 2, 3])))

    def unknown_question(self, *, held_out: bool = False) -> str:
        """Draw a question about something that the model was never taught, about other things if held out."""
        pattern = self.random.choice(self.unknown_patterns)
        for slot, fillers in self.tables["unknown"]["slots"].items():
            fits = [f for i, f in enumerate(fillers) if (i % _HELD_OUT_SLOTS == 0) == held_out]
            while "{" + slot + "}" in pattern:
                pattern = pattern.replace("{" + slot + "}", self.random.choice(fits), 1)
        return pattern

    def gibberish(self) -> str:
        """Draw one to four words of random letters."""
        letters = self.tables["gibberish"]["letters"]
        words = ("".join(self.random.choices(letters, k=self.random.randint(3, 9))) for _ in range(4))
        return " ".join(itertools.islice(words, self.random.randint(1, 4)))

    def _dirty(self, text: str, answer: str) -> tuple[str, str]:
        """Type the question as people do, but never so that it becomes one of the held-out wordings."""
        dirty = text
        for change, share in [] if self.random.random() < _CLEAN else self._changes():
            if self.random.random() < share:
                dirty = change(dirty)
        return (text if normal_form(dirty) in self.held_out else dirty), answer

    def _changes(self) -> list[tuple[Callable[[str], str], float]]:
        return [
            (self._words_around, 0.2),
            (self._drop_small_word, 0.1),
            (self._misspell, 0.15),
            (self._end_mark, 0.35),
            (self._case, 0.35),
        ]

    def _words_around(self, text: str) -> str:
        """Add "please", "hi," and the like, which would change the meaning of a greeting or a thank-you."""
        if len(text.split()) < 4:
            return text
        around, draw = self.tables["around"], self.random
        if draw.random() < 0.6:
            return str(draw.choice(around["before"])) + text[0].lower() + text[1:]
        mark = text[-1] if text[-1] in "?.!" else ""
        return text.rstrip("?.!") + str(draw.choice(around["after"])) + mark

    def _drop_small_word(self, text: str) -> str:
        words = text.split()
        small = [i for i, word in enumerate(words) if word.lower() in self.tables["around"]["small_words"]]
        if len(words) < 4 or not small:
            return text
        del words[self.random.choice(small)]
        return " ".join(words)

    def _misspell(self, text: str) -> str:
        """Swap, drop or double one letter inside a word of five letters or more."""
        words = text.split(" ")
        long = [i for i, word in enumerate(words) if len(word) >= 5 and word.isalpha()]
        if not long:
            return text
        index = self.random.choice(long)
        word, at = words[index], self.random.randrange(1, len(words[index]) - 1)
        pair = word[at : at + 2]
        words[index] = word[:at] + self.random.choice([pair[::-1], pair[1:], pair[0] + pair]) + word[at + 2 :]
        return " ".join(words)

    def _end_mark(self, text: str) -> str:
        if text[-1] in "?.!":
            return text.rstrip("?.!") or text
        return text + self.random.choice([".", "!", "?", "?"])

    def _case(self, text: str) -> str:
        how = self.random.random()
        if how < 0.75:
            return text.lower()
        return text.upper() if how < 0.85 else text[0].upper() + text[1:]


def turn(text: str, answer: str) -> list[Message]:
    """A question and its answer as messages."""
    return [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]


def _pools(trained: list[Wording]) -> dict[str, list[list[Wording]]]:
    """Group the wordings by kind and by topic, so that short topics are not drowned by long ones."""
    pools: dict[str, dict[str, list[Wording]]] = {share: {} for share in _SHARES}
    for wording in trained:
        kind: Any = wording.kind if wording.kind in pools else "topics"
        pools[kind].setdefault(wording.topic, []).append(wording)
    return {kind: list(topics.values()) for kind, topics in pools.items()}


def _expand_all(patterns: list[str]) -> list[str]:
    return list(itertools.chain.from_iterable(map(expand, patterns)))
