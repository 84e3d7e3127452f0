"""How long the next reply gets, from the lengths of those before it.

Every reply seen is a guess at the next one's length, with a spread in proportion: the more words its prompt shares with
this prompt, the more the guess weighs and the narrower it is. What is forecast is a high quantile of all guesses taken
together. How narrow is learned too, from what replies to prompts alike turned out to be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

KEPT_LENGTHS = 200
KEPT_SURPRISES = 64
QUANTILE = 0.83
"""About one reply in twenty is cut at it: many end at their `max_new_tokens` before."""
AMPLE_QUANTILE = 0.96
"""The same for a visitor who has plenty left: a cut costs a run, and what is not used costs nothing."""
CUT_FACTOR = 1.5
"""A reply that was cut would have been longer: by that much, supposedly."""
ALIKE = 0.6
"""Likeness from which on two prompts are taken for the same question."""
SPREAD = 0.2
"""Of the logarithm of replies to the same question, before any were seen twice."""
SPREAD_FROM = 2
"""As many surprises does that assumption weigh."""
SPREAD_OTHERWISE = 4.0
"""How much wider replies to entirely different prompts spread."""
BACKGROUND = 0.3
"""What all replies together weigh, whatever their prompts; a reply to the very same prompt weighs 40."""
PRIOR_REPLIES = 8
"""As many replies does the length weigh that is assumed before there were any."""


class Lengths:
    """How long replies get, in tokens: for prompts like this one where there were some, else for all."""

    def __init__(self, prior: int = 256) -> None:
        self.prior = prior
        self.seen: list[int] = []
        self.surprises: list[float] = []
        """How far replies were from those to prompts alike: of the logarithm, as if the prompts had been the same."""
        self._by_words: list[tuple[frozenset[str], int, bool]] = []
        """In memory only: words of prompts belong in no file."""

    def observe(self, prompt: str, tokens: int, cut: bool = False) -> None:
        """Learn a reply's length; one that was cut would have been longer."""
        words = _words(prompt)
        tokens = max(1, int(tokens * CUT_FACTOR) if cut else tokens)
        if not cut:
            self._compare(words, tokens)
        self.seen = [*self.seen, tokens][-KEPT_LENGTHS:]
        self._by_words = [*self._by_words, (words, tokens, cut)][-KEPT_LENGTHS:]

    def forecast(self, prompt: str, at_most: int, quantile: float = QUANTILE) -> int:
        """Tokens that the reply will probably not exceed; never above `at_most`."""
        words = _words(prompt)
        near = [(_likeness(words, others), tokens) for others, tokens, _ in self._by_words]
        before = [*self.seen, *[self.prior] * max(0, PRIOR_REPLIES - len(self.seen))]
        guesses = [(BACKGROUND / len(before), math.log(tokens), 1.5 * SPREAD) for tokens in before]
        spread = self._spread()
        for likeness, tokens in near:
            if likeness > 0:
                guesses.append((_weight(likeness), math.log(tokens), spread * _widening(likeness)))
        expected = math.exp(_quantile(guesses, quantile))
        last = next((tokens for likeness, tokens in reversed(near) if likeness == 1), 0)
        return max(1, min(at_most, math.ceil(max(expected, last) + 1)))

    def _compare(self, words: frozenset[str], tokens: int) -> None:
        """Remember how much this reply surprised after those to prompts alike."""
        alike = [
            (likeness, math.log(length))
            for others, length, cut in self._by_words
            if not cut and (likeness := _likeness(words, others)) >= ALIKE
        ][-PRIOR_REPLIES:]
        if not alike:
            return
        count = len(alike)
        likeness, usual = (sum(column) / count for column in zip(*alike, strict=True))
        surprise = abs(math.log(tokens) - usual) * math.sqrt(count / (count + 1)) / _widening(likeness)
        self.surprises = [*self.surprises, surprise][-KEPT_SURPRISES:]

    def _spread(self) -> float:
        squares = SPREAD_FROM * SPREAD**2 + sum(surprise**2 for surprise in self.surprises)
        return math.sqrt(squares / (SPREAD_FROM + len(self.surprises)))


def _weight(likeness: float) -> float:
    """40 for the same prompt, 1.8 where half the words are shared, hardly anything below a third."""
    return 4 * likeness**2 / (1 - 0.9 * likeness)


def _widening(likeness: float) -> float:
    return 1 + SPREAD_OTHERWISE * (1 - likeness)


def _quantile(guesses: Sequence[tuple[float, float, float]], share: float) -> float:
    """Of a mixture of normal distributions, each with its weight, middle and spread: found by halving."""
    total = sum(weight for weight, _, _ in guesses)
    low = min(middle - 5 * spread for _, middle, spread in guesses)
    high = max(middle + 5 * spread for _, middle, spread in guesses)
    for _ in range(24):
        at = (low + high) / 2
        below = sum(weight * math.erfc((middle - at) / (spread * math.sqrt(2))) for weight, middle, spread in guesses)
        low, high = (at, high) if below / 2 < share * total else (low, at)
    return high


def _words(prompt: str) -> frozenset[str]:
    return frozenset(prompt.lower().split()[:64])


def _likeness(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one and other else 0.0
