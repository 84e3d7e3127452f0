"""Which adapters a page or a program has chosen: by name, with weights, and the words that go into the prompt."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import ImageOps

from zerokit.engines.shelf import Adapter, look_up
from zerokit.errors import RequestError, UsageError
from zerokit.pictures.opening import open_picture
from zerokit.requests import AdapterChoice, check_adapters

BASE = "Base"
"""What a page calls the model without adapters."""
PICTURE_SIDE = 128
"""Pixels of an adapter's picture on a page, which shows it half as large."""


@dataclass(frozen=True)
class Chosen:
    """The adapters of one request.

    Args:
        choices: each with its weight.
        adapters: the same, as they were found.
        own: those that came with this visitor; what is chosen of them rides in the request.
    """

    choices: tuple[AdapterChoice, ...] = ()
    adapters: tuple[Adapter, ...] = ()
    own: tuple[Adapter, ...] = ()

    @property
    def extra(self) -> tuple[Adapter, ...]:
        """Those that the engine does not have itself."""
        return tuple(adapter for adapter in self.adapters if adapter in self.own)

    def prompted(self, prompt: str) -> str:
        """The prompt with the trigger words of all that act in it."""
        for choice, adapter in zip(self.choices, self.adapters, strict=True):
            if choice.weight:
                prompt = adapter.spec.prompted(prompt)
        return prompt

    def compared(self) -> tuple[Chosen, ...]:
        """What a comparison shows: none, then each alone.

        Raises:
            RequestError: there is nothing to compare.
        """
        if not self.choices:
            raise RequestError("Choose an adapter to compare with the base.")
        pairs = zip(self.choices, self.adapters, strict=True)
        return (Chosen(), *(Chosen((choice,), (adapter,), self.own) for choice, adapter in pairs))

    @property
    def shown(self) -> str:
        """Its name beside an answer."""
        return " + ".join(named(choice) for choice in self.choices) or BASE


def named(choice: AdapterChoice) -> str:
    """An adapter's name, with its weight where that says something."""
    return choice.name if choice.weight == 1 else f"{choice.name} × {choice.weight:g}"


def from_page(value: Any, adapters: Iterable[Adapter], own: Sequence[Adapter] = ()) -> Chosen:
    """What is picked on a page: an object of weights by name, as `AdapterPicker` has it.

    Raises:
        RequestError: it names what is not there, or weights that cannot be.
    """
    picked = value.get("picked") if isinstance(value, Mapping) else None
    return chosen(picked or {}, adapters, own)


def chosen(given: Any, adapters: Iterable[Adapter], own: Sequence[Adapter] = ()) -> Chosen:
    """What a program has chosen.

    Args:
        given: a name, a list of names or `AdapterChoice`s, or an object of weights by name; without a weight, or with
            None, an adapter acts as strongly as its spec says.
        adapters: the engine's.
        own: this visitor's.

    Raises:
        RequestError: it is something else, or names what is not there; the message names the nearest.
    """
    known = {adapter.name: adapter for adapter in (*adapters, *own)}
    found, choices = [], []
    for name, weight in _pairs(given):
        adapter = look_up(name, known)
        found.append(adapter)
        choices.append(AdapterChoice(name, adapter.spec.weight if weight is None else weight))
    check_adapters(tuple(choices))
    return Chosen(tuple(choices), tuple(found), tuple(own))


def _pairs(given: Any) -> list[tuple[str, Any]]:
    if given is None:
        return []
    if isinstance(given, str | AdapterChoice):
        given = [given]
    if isinstance(given, Mapping):
        pairs = list(given.items())
    elif isinstance(given, list | tuple):
        pairs = [(one.name, one.weight) if isinstance(one, AdapterChoice) else (one, None) for one in given]
    else:
        pairs = [(None, None)]
    if not all(isinstance(name, str) for name, _ in pairs):
        raise RequestError("Adapters are a list of names, or an object of weights by name.")
    return pairs


def card(adapter: Adapter, *, own: bool = False) -> dict[str, Any]:
    """What a page shows of an adapter."""
    spec = adapter.spec
    return {
        "name": adapter.name,
        "initials": initials(adapter.name),
        "picture": thumbnail(spec.picture) if spec.picture is not None else None,
        "weight": spec.weight,
        "trigger": spec.trigger,
        "examples": list(spec.examples),
        "own": own,
    }


def thumbnail(picture: str | Path) -> str:
    """A picture as a small one in a data address, which a page needs no file for.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        image = open_picture(Path(picture).expanduser(), what="adapter's picture")
    except RequestError as exc:
        raise UsageError(f"{picture} cannot be an adapter's picture: {exc.message}") from exc
    image = ImageOps.fit(image, (PICTURE_SIDE, PICTURE_SIDE))
    written = io.BytesIO()
    image.save(written, "WEBP", quality=80)
    return "data:image/webp;base64," + base64.b64encode(written.getvalue()).decode()


def initials(name: str) -> str:
    """One or two letters that stand for an adapter without a picture."""
    words = "".join(sign if sign.isalnum() else " " for sign in name.rpartition("/")[2]).split()
    letters = words[0][:2] if len(words) == 1 else "".join(word[0] for word in words[:2])
    return letters.upper()[:2] or "?"
