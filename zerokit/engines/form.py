"""Whether a base with adapters is a chat model or an image model; told by their files, without fetching weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zerokit.adapters import AdapterSpec
from zerokit.engines.adapter_files import read_json
from zerokit.engines.adapter_source import locate
from zerokit.engines.shelf import Kind, base_of_first
from zerokit.engines.source import EMBEDDED, find
from zerokit.errors import UsageError

PIPELINE = "model_index.json"
"""What every diffusers pipeline has, and no chat model."""


def base_and_form(
    base: str | Path | None, specs: Sequence[AdapterSpec], *, revision: str | None = None, token: str | None = None
) -> tuple[str | Path, Kind]:
    """The base's name, and whether it answers or paints.

    Args:
        base: a repository, a folder or an embedded model; None: the one that the first adapter names.
        specs: the adapters.
        revision: of the base.
        token: for private or gated repositories.

    Raises:
        UsageError: nothing tells which model is meant.
        ModelError: it cannot be found.
    """
    if base is None:
        base = base_of_first(specs, kind=form_of(specs[0], token=token) if specs else "text", token=token)
    if base == EMBEDDED:
        if not specs:
            raise UsageError(
                f'Without adapters nothing tells which model it is: "{EMBEDDED}:chat" or "{EMBEDDED}:image".'
            )
        return base, form_of(specs[0], token=token)
    files = find(base, "chat", revision=revision, token=token).files
    return base, "image" if PIPELINE in files else "text"


def form_of(spec: AdapterSpec, *, token: str | None = None) -> Kind:
    """What an adapter is for: peft says of those for language models which task they have."""
    found = locate(spec, kind="text", token=token)
    if found.config is None:
        return "image"
    return "text" if read_json(found.fetch(found.config)).get("task_type") else "image"
