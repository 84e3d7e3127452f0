"""From a folder to a report."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from .findings import Finding, Report, Spot, printable
from .reading import CannotRead, read_text
from .rule import Rule, all_rules
from .space import read_space

_IGNORE = re.compile(r"#\s*zerokit:\s*ignore\[([\w\s,]+)\]")


def examine(folder: str | Path) -> Report:
    """Look at a Space with every rule.

    Args:
        folder: where its README.md and app.py are. Nothing in it is run or changed.

    Raises:
        UsageError: the folder holds no Space.

    Examples:
        >>> report = examine("my-space")
        >>> [finding.code for finding in report.errors]
    """
    space = read_space(folder)
    found = [(rule, spot) for rule in all_rules() for spot in rule.check(space)]
    silenced = _Silenced(space.folder)
    findings = {_finding(rule, spot) for rule, spot in found if not silenced.holds(rule.code, spot)}
    ordered = sorted(findings, key=lambda f: (f.path, f.line or 0, f.code, f.message))
    return Report(str(folder), tuple(ordered))


def _finding(rule: Rule, spot: Spot) -> Finding:
    return Finding(
        rule.code,
        rule.severity,
        spot.path,
        spot.line,
        printable(spot.message),
        rule.why,
        spot.advice or rule.advice,
        spot.fixable,
    )


class _Silenced:
    """The codes that a comment in a line, or in one of its own above, silences."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.codes: dict[str, dict[int, set[str]]] = {}

    def holds(self, code: str, spot: Spot) -> bool:
        if spot.path not in self.codes:
            self.codes[spot.path] = dict(_ignored(self._text(spot.path)))
        return code in self.codes[spot.path].get(spot.line or 1, set())

    def _text(self, name: str) -> str:
        try:
            return read_text(self.root, name)
        except CannotRead:
            return ""


def _ignored(text: str) -> Iterator[tuple[int, set[str]]]:
    above: set[str] = set()
    for number, line in enumerate(text.splitlines(), 1):
        codes = {code.strip().upper() for match in _IGNORE.finditer(line) for code in match[1].split(",")}
        if codes or above:
            yield number, codes | above
        above = codes if line.lstrip().startswith("#") else set()
