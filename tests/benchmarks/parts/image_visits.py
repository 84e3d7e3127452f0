"""A mixed run of visits to an image Space, made up from a seed: who asks for how many pictures, steps and pixels.

Most visitors leave the settings as they are, which is what the shares below say. They are ours: no Space's log.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

BETWEEN_LULLS = (8, 16)
"""Visits."""
_SIZES = ((1024, 1024),) * 6 + ((1216, 832), (832, 1216), (768, 768), (512, 512))
_STEPS = (25,) * 5 + (10, 15, 30, 40, 50)
_IMAGES = (1,) * 6 + (2, 2, 4, 4)
_GUIDANCE = (5.0,) * 9 + (1.0,)


@dataclass(frozen=True)
class Habits:
    """What visitors ask for."""

    as_it_is: float = 0.4
    """Share of visits with the page's own settings: a picture of a megapixel, 25 steps."""
    few_steps: bool = False
    """A distilled model: 2 to 8 steps on the prompt alone."""


@dataclass(frozen=True)
class Visit:
    """One click on Generate."""

    number: int
    width: int
    height: int
    steps: int
    images: int
    guidance: float
    after_lull: bool
    """Before it, nobody came for a while, and other Spaces took the GPUs."""
    pause_s: float
    """Before it, in the life of its visitor."""

    @property
    def passes(self) -> int:
        """2 where each step runs on the negative prompt too."""
        return 2 if self.guidance > 1 else 1


def visits(count: int, seed: int, habits: Habits | None = None) -> Iterator[Visit]:
    """`count` visits; equal seeds give equal runs."""
    habits = habits or Habits()
    chance = random.Random(seed)
    lull_at = 0
    for number in range(count):
        after_lull = number == lull_at
        if after_lull:
            lull_at = number + chance.randint(*BETWEEN_LULLS)
        visit = Visit(number, 1024, 1024, 25, 1, 5.0, after_lull, chance.uniform(0.0, 1.5))
        if chance.random() >= habits.as_it_is:
            (width, height), images = chance.choice(_SIZES), chance.choice(_IMAGES)
            steps, guidance = chance.choice(_STEPS), chance.choice(_GUIDANCE)
            visit = replace(visit, width=width, height=height, steps=steps, images=images, guidance=guidance)
        if habits.few_steps:
            visit = replace(visit, steps=max(2, visit.steps // 6), guidance=1.0)
        yield visit
