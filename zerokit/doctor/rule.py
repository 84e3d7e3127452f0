"""What a rule is, and the list of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from ..errors import UsageError
from .findings import Severity, Spot

if TYPE_CHECKING:
    from .space import Space

Check = Callable[["Space"], Iterable[Spot]]
GROUPS = {
    "1": "The card and the requirements",
    "2": "The start: imports, loading, placing",
    "3": "Durations",
    "4": "GPU calls and the page",
    "5": "Safety",
    "6": "Spaces on a GPU of their own",
}
"""By the first figure of a code."""


@dataclass(frozen=True)
class Rule:
    """One thing that the doctor looks for."""

    code: str
    severity: Severity
    title: str
    why: str
    advice: str
    file: str
    """Where its examples stand: app.py, README.md or requirements.txt."""
    wrong: str
    right: str
    check: Check
    fixable: bool = False


RULES: dict[str, Rule] = {}
"""By code, in the order of the codes once all are loaded."""


def rule(
    code: str,
    severity: Severity,
    title: str,
    *,
    why: str,
    advice: str,
    wrong: str,
    right: str,
    file: str = "app.py",
    fixable: bool = False,
) -> Callable[[Check], Check]:
    """Add a function that looks at a Space to the rules."""

    def add(check: Check) -> Check:
        assert code not in RULES, code
        RULES[code] = Rule(
            code, severity, title, why, advice, file, wrong.strip("\n") + "\n", right.strip("\n") + "\n", check, fixable
        )
        return check

    return add


def all_rules() -> list[Rule]:
    """Every rule, by code."""
    from . import rules

    rules.load()
    return [RULES[code] for code in sorted(RULES)]


def find_rule(code: str) -> Rule:
    """The rule of that code.

    Raises:
        UsageError: there is none; the message names the nearest.
    """
    known = {each.code: each for each in all_rules()}
    if code.upper() in known:
        return known[code.upper()]
    near = get_close_matches(code.upper(), known, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise UsageError(f"There is no rule {code[:40]!r}: they are {min(known)} to {max(known)}.{hint}")
