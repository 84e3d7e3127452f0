"""The packages that a Space asks for: its requirements.txt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Parsed
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

_GIT_NAME = re.compile(r"/([\w.-]+?)(?:\.git)?(?:@[^#]*)?(?:#.*)?$")
_EGG = re.compile(r"[#&]egg=([\w.-]+)")
_WHEEL = re.compile(r"([\w.]+)-[^-/]+-[^/]+\.whl")


@dataclass(frozen=True)
class Requirement:
    """One line that asks for a package."""

    line: int
    text: str
    name: str
    """Canonical: "flash-attn"."""
    extras: frozenset[str] = frozenset()
    specifier: SpecifierSet = field(default_factory=SpecifierSet)
    url: str = ""

    @property
    def is_wheel(self) -> bool:
        """Whether it names a wheel, which needs no compiler."""
        return ".whl" in self.url


@dataclass(frozen=True)
class Requirements:
    """All lines of a requirements.txt."""

    path: str = "requirements.txt"
    text: str = ""
    packages: tuple[Requirement, ...] = ()
    options: tuple[tuple[int, str], ...] = ()
    """Lines that begin with a dash, with their number."""

    def named(self, *names: str) -> Iterator[Requirement]:
        """The lines that ask for one of these packages."""
        return (package for package in self.packages if package.name in names)


def parse_requirements(text: str, path: str = "requirements.txt") -> Requirements:
    """Read a requirements.txt; a line that says nothing to pip is left to pip."""
    packages, options = [], []
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        said = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip().rstrip("\\").strip()
        if said.startswith("-") and not said.startswith(("-e ", "--editable")):
            options.append((number, said))
        elif said:
            package = _package(number, re.sub(r"^(-e|--editable)[ =]", "", said).strip())
            if package is not None:
                packages.append(package)
    return Requirements(path, text, tuple(packages), tuple(options))


def _package(number: int, said: str) -> Requirement | None:
    bare = re.split(r"\s--", said, maxsplit=1)[0]
    try:
        parsed = Parsed(bare)
    except InvalidRequirement:
        return _from_url(number, bare)
    extras = frozenset(parsed.extras)
    return Requirement(number, said, canonicalize_name(parsed.name), extras, parsed.specifier, parsed.url or "")


def _from_url(number: int, said: str) -> Requirement | None:
    if not re.match(r"(git\+)?(https?|ssh|git)://", said):
        return None
    match = _EGG.search(said) or _WHEEL.search(said) or _GIT_NAME.search(said)
    return Requirement(number, said, canonicalize_name(match[1]), url=said) if match else None
