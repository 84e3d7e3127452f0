"""A mixed run of chats, made up from a seed: who asks what, and how long the answer gets.

The lengths are ours, not a model's: a spread that instruction models show (a fact in a line, a story in a page), which
an estimator can only know from calls that it has seen. The same question gets an answer of about the same length
again, give or take 15%, as it does when tokens are sampled.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

SHORTEST, LONGEST = 6, 1_400
LONG_PROMPT_SHARE = 0.2
BETWEEN_LULLS = (8, 16)
"""Visits."""
LIMITS = (512, 512, 512, 512, 512, 512, 512, 128, 256, 1024)

# Form of a question, tokens of an answer (median), standard deviation of its logarithm.
_FORMS = (
    ("What is the {noun} of {place}?", 70, 0.5),
    ("Who invented the {noun}, and when?", 140, 0.45),
    ("Explain how a {noun} works.", 650, 0.4),
    ("Write a story about a {noun} and a {other} in {place}.", 750, 0.35),
    ("Write a poem about {place}.", 200, 0.3),
    ("Give me ten ideas for a {noun} with a {other}.", 550, 0.35),
    ("Translate into French: the {noun} is near the {other}, and both are in {place}.", 35, 0.3),
    ("Write a Python function that sorts every {noun} by its {other}.", 500, 0.4),
    ("{noun} or {other}?", 250, 0.7),
    ("tell me something about {place} that nobody knows", 280, 0.5),
)
_NOUNS = re.findall(
    r"\w+",
    "lighthouse bicycle engine river candle bridge violin telescope kettle garden mirror compass ladder market pencil "
    "rocket saddle tunnel umbrella window basket camera dragon feather glacier harbour island jacket kitchen lantern "
    "magnet needle orchard piano quarry rudder statue theatre valley whistle",
)
_PLACES = ("Norway", "Peru", "Kyoto", "Ghana", "Lisbon", "Iceland", "Bengal", "Quebec", "Naples", "Samoa", "Prague")


@dataclass(frozen=True)
class Habits:
    """What visitors ask for, and how talkative the model is."""

    examples_share: float = 0.45
    """Of the questions that are one of the Space's five examples, clicked."""
    same_again: float = 0.15
    """Standard deviation of the logarithm of an answer's length, where the question is the same."""
    talk: float = 1.0
    """Times the usual lengths."""
    limits: tuple[int, ...] = LIMITS
    """Of the tokens that an answer may have, each as likely."""


@dataclass(frozen=True)
class Visit:
    """One question."""

    number: int
    question: str
    earlier_tokens: int
    """Of the conversation before it."""
    max_new_tokens: int
    natural_tokens: int
    """How long the answer gets where nothing limits it."""
    is_example: bool
    after_lull: bool
    """Before it, nobody came for a while, and other Spaces took the GPUs."""
    pause_s: float
    """Before it, in the life of its visitor."""


def visits(count: int, seed: int, habits: Habits | None = None) -> Iterator[Visit]:
    """`count` visits; equal seeds give equal runs."""
    habits = habits or Habits()
    chance = random.Random(seed)
    examples = [_question(chance, form) for form in chance.sample(_FORMS, 5)]
    lull_at = 0
    for number in range(count):
        after_lull = number == lull_at
        if after_lull:
            lull_at = number + chance.randint(*BETWEEN_LULLS)
        is_example = chance.random() < habits.examples_share
        question, usual = chance.choice(examples) if is_example else _question(chance, chance.choice(_FORMS))
        tokens = usual * habits.talk * math.exp(chance.gauss(0, habits.same_again))
        yield Visit(
            number=number,
            question=question,
            earlier_tokens=chance.randint(300, 1_500) if chance.random() < LONG_PROMPT_SHARE else 0,
            max_new_tokens=chance.choice(habits.limits),
            natural_tokens=min(LONGEST, max(SHORTEST, round(tokens))),
            is_example=is_example,
            after_lull=after_lull,
            pause_s=chance.uniform(0.0, 1.5),
        )


def _question(chance: random.Random, form: tuple[str, int, float]) -> tuple[str, float]:
    """A question of that form, and the usual length of its answer."""
    text, median, spread = form
    noun, other = chance.sample(_NOUNS, 2)
    question = text.format(noun=noun, other=other, place=chance.choice(_PLACES))
    return question, median * math.exp(chance.gauss(0, spread))
