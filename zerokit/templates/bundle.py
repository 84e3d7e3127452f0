"""ZeroKit itself in a Space's folder, beside the app, as long as no package index has it."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_PACKAGE = Path(__file__).parents[1]
_BROUGHT = {"gradio", "spaces"}
"""The platform brings these in the versions that it wants."""


def files() -> dict[str, bytes]:
    """The files of the package by their paths in the Space; without the templates, which no Space needs."""
    found = (file for file in _PACKAGE.rglob("*") if file.is_file())
    kept = [file for file in found if file.suffix != ".pyc" and _PACKAGE / "templates" / "apps" not in file.parents]
    return {file.relative_to(_PACKAGE.parent).as_posix(): file.read_bytes() for file in kept}


def requirements(text: str) -> str:
    """A requirements.txt with what ZeroKit needs in place of ZeroKit."""
    lines = text.splitlines()
    asked = [line for line in lines if not line.startswith("zerokit")]
    names = _BROUGHT | {canonicalize_name(Requirement(line).name) for line in asked if not line.startswith("#")}
    wanted = [Requirement(one) for one in metadata.requires("zerokit") or ()]
    needed = [str(one) for one in wanted if canonicalize_name(one.name) not in names and "extra" not in str(one.marker)]
    return "\n".join([*asked, "# What ZeroKit needs, which is in the folder zerokit.", *needed, ""])
