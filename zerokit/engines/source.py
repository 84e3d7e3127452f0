"""Where a model comes from: a folder, the Hub, or the package itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A model that was found."""

    name: str
    where: str
    """A folder, or a repository's name."""


def find(model: str | Path, kind: str, **_: object) -> Source:
    """The model called `model`; "embedded" is the one of this kind that comes with ZeroKit."""
    if model == "embedded":
        from zerokit import embedded

        return Source("embedded", str(embedded.path(kind)))
    return Source(Path(model).name, str(model))
