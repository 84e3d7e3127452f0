"""Adapters in the text of a prompt, as AUTOMATIC1111's web UI has them there: `a fox <lora:outline:0.8>`."""

from __future__ import annotations

import re
from typing import Any

from ..requests import MAX_ADAPTERS, MAX_WEIGHT, AdapterChoice

MAX_NAME_CHARACTERS = 60
_NUMBER = r"-?(?:\d{1,3}(?:\.\d{0,20})?|\.\d{1,20})(?:e-?\d{1,3})?"
_TAG = re.compile(rf" ?<lora:([^<>:\n]{{1,60}})(?::({_NUMBER})(?::[^<>\n]{{0,100}})?)?>")


def kept_adapters(given: Any) -> tuple[AdapterChoice, ...]:
    """Those of the (name, weight) pairs or choices that can be adapters of a picture; the first of each name."""
    kept: dict[str, AdapterChoice] = {}
    for one in given if isinstance(given, tuple | list) else ():
        pair = (one.name, one.weight) if isinstance(one, AdapterChoice) else one
        if isinstance(pair, tuple | list) and len(pair) == 2 and _is_name(pair[0]) and _is_weight(pair[1]):
            kept.setdefault(pair[0], AdapterChoice(pair[0], pair[1]))
    return tuple(kept.values())[:MAX_ADAPTERS]


def tagged(prompt: str, adapters: tuple[AdapterChoice, ...]) -> str:
    """The prompt with its adapters at the end, but for those whose names have a colon."""
    return prompt + "".join(f" <lora:{one.name}:{_said(one.weight)}>" for one in adapters if ":" not in one.name)


def untagged(prompt: str) -> tuple[str, tuple[AdapterChoice, ...]]:
    """The prompt without its adapters, and these. A tag that cannot be an adapter stays in the prompt."""
    found: dict[str, AdapterChoice] = {}

    def take(tag: re.Match[str]) -> str:
        name, weight = tag[1], float(tag[2] or 1)
        if not (_is_name(name) and _is_weight(weight)) or (name not in found and len(found) == MAX_ADAPTERS):
            return tag[0]
        found.setdefault(name, AdapterChoice(name, weight))
        return ""

    return _TAG.sub(take, prompt), tuple(found.values())


def _is_name(name: Any) -> bool:
    return (
        isinstance(name, str)
        and 0 < len(name) <= MAX_NAME_CHARACTERS
        and bool(name.strip())
        and name.isprintable()
        and not set(name) & set("<>")
    )


def _is_weight(weight: Any) -> bool:
    return isinstance(weight, int | float) and not isinstance(weight, bool) and -MAX_WEIGHT <= weight <= MAX_WEIGHT


def _said(weight: float) -> str:
    return str(int(weight)) if float(weight).is_integer() else str(weight)
