"""Which templates there are, and where."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from zerokit.errors import UsageError

Form = Literal["text", "image"]
_PACKAGE = Path(__file__).parent


@dataclass(frozen=True)
class Template:
    """A Space to copy."""

    name: str
    what: str
    """In a few words."""
    forms: tuple[Form, ...]
    """Of its models: they write text or make pictures."""
    adapters: bool = False
    """Whether a model that is filled in is an adapter, which brings its base."""
    talks: bool = True
    """Whether a model for text must know how a conversation is written down."""


TEMPLATES = {
    template.name: template
    for template in (
        Template("chat", "a chat with one model", ("text",)),
        Template("diffusion", "pictures with one model", ("image",)),
        Template("lora-chat", "a chat with adapters to pick, mix and compare", ("text",), adapters=True),
        Template("lora-diffusion", "pictures with adapters to pick, mix and compare", ("image",), adapters=True),
        Template("gpu-function", "a function of your own on the GPU", ("text",), talks=False),
        Template("quota-component", "the quota bar in an app with plain spaces", ("image",)),
        Template("studio", "a chat and an image model in tabs", ("text", "image")),
        Template("batch", "a file of prompts answered in one run", ("text",)),
    )
}


def find(name: str) -> Template:
    """The template of that name.

    Raises:
        UsageError: there is none; the message names the nearest and all.
    """
    if name in TEMPLATES:
        return TEMPLATES[name]
    near = get_close_matches(name.lower(), TEMPLATES, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UsageError(f"There is no template {name[:60]!r}: it is one of {', '.join(TEMPLATES)}.{hint}")


def folder(name: str) -> Path:
    """The folder of a template: in the package, or in apps/ beside it when ZeroKit runs from its repository.

    Raises:
        UsageError: there is no such template.
    """
    template = find(name)
    installed = _PACKAGE / "apps"
    return (installed if installed.is_dir() else _PACKAGE.parents[1] / "apps") / template.name
