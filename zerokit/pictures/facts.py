"""How a picture was made: the record that goes into its file, and what may stand in each of its fields."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import RequestError
from ..requests import MAX_GUIDANCE, MAX_PROMPT_CHARACTERS, MAX_SEED, MAX_SIDE, MAX_STEPS, MIN_SIDE, AdapterChoice
from .loras import kept_adapters

MAX_EXTRA = 64
MAX_EXTRA_CHARACTERS = 20_000
"""Of all keys and values of `extra` together."""
MAX_KEY_CHARACTERS = 100


@dataclass(frozen=True)
class Record:
    """How a picture was made.

    Args:
        prompt: what was to be seen.
        negative_prompt: what was not to be seen.
        width: pixels, 16 to 8,192; 0: not known.
        height: likewise.
        steps: denoising steps that were asked for, 1 to 200; 0: not known.
        guidance: 0 to 30; None: not known.
        seed: 0 to 2**31 - 1; None: not known.
        scheduler: its name.
        model: its name on the Hub.
        mode: "text", "image" or "inpaint".
        strength: how much of the first picture could change, 0.01 to 1; None: there was none.
        steps_made: denoising steps that the picture has, where they are fewer than `steps`.
        version: ZeroKit's.
        extra: what other tools wrote besides, (key, value) pairs or a dict; at most 64 pairs and 20,000 characters.
        adapters: that acted, with their weights, -4 to 4; at most 8, with names of at most 60 printable characters.

    Raises:
        RequestError: a field is of the wrong type or out of range.
    """

    prompt: str
    negative_prompt: str = ""
    width: int = 0
    height: int = 0
    steps: int = 0
    guidance: float | None = None
    seed: int | None = None
    scheduler: str = ""
    model: str = ""
    mode: str = "text"
    strength: float | None = None
    steps_made: int | None = None
    version: str = ""
    extra: tuple[tuple[str, str], ...] = ()
    adapters: tuple[AdapterChoice, ...] = ()

    def __post_init__(self) -> None:
        pairs = self.extra.items() if isinstance(self.extra, Mapping) else self.extra
        object.__setattr__(self, "extra", tuple(tuple(pair) for pair in pairs))
        for name, fits in FITS.items():
            if not fits(getattr(self, name)):
                raise RequestError(f"A picture's {name} cannot be {str(getattr(self, name))[:40]!r}.")
        if kept_extra(self.extra) != self.extra:
            raise RequestError(
                f"What else is known of a picture is at most {MAX_EXTRA} pairs of texts with together at most "
                f"{MAX_EXTRA_CHARACTERS:,} characters."
            )
        if kept_adapters(self.adapters) != self.adapters:
            raise RequestError(f"A picture's adapters cannot be {str(self.adapters)[:60]!r}.")


def fitting(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that their fields of a Record can hold."""
    return {name: value for name, value in values.items() if name in FITS and FITS[name](value)}


def kept_extra(pairs: Iterable[Any]) -> tuple[tuple[str, str], ...]:
    """Those of the pairs that are texts, as many as a Record holds; the first of each key."""
    kept: dict[str, str] = {}
    left = MAX_EXTRA_CHARACTERS
    for pair in pairs:
        if (
            not isinstance(pair, tuple | list)
            or len(pair) != 2
            or not all(_text(MAX_EXTRA_CHARACTERS)(t) for t in pair)
        ):
            continue
        key, value = pair
        if not key or len(key) > MAX_KEY_CHARACTERS or key in kept or len(key) + len(value) > left:
            continue
        kept[key] = value
        left -= len(key) + len(value)
        if len(kept) == MAX_EXTRA:
            break
    return tuple(kept.items())


_SURROGATE = re.compile("[\ud800-\udfff]")
Fits = Callable[[Any], bool]


def _text(characters: int) -> Fits:
    return lambda value: isinstance(value, str) and len(value) <= characters and not _SURROGATE.search(value)


def _whole(low: int, high: int) -> Fits:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _number(low: float, high: float) -> Fits:
    def fits(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high

    return lambda value: fits(value) and math.isfinite(value)


def _or(other: Any, fits: Fits) -> Fits:
    return lambda value: (value is other) or (type(value) is type(other) and value == other) or fits(value)


FITS: dict[str, Fits] = {
    "prompt": _text(MAX_PROMPT_CHARACTERS),
    "negative_prompt": _text(MAX_PROMPT_CHARACTERS),
    "width": _or(0, _whole(MIN_SIDE, MAX_SIDE)),
    "height": _or(0, _whole(MIN_SIDE, MAX_SIDE)),
    "steps": _whole(0, MAX_STEPS),
    "guidance": _or(None, _number(0, MAX_GUIDANCE)),
    "seed": _or(None, _whole(0, MAX_SEED)),
    "scheduler": _text(200),
    "model": _text(300),
    "mode": lambda value: isinstance(value, str) and value in ("text", "image", "inpaint"),
    "strength": _or(None, _number(0.01, 1)),
    "steps_made": _or(None, _whole(0, MAX_STEPS)),
    "version": _text(50),
}
