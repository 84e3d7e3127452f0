"""What the doctor hands back: findings, and the report that holds them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Spot:
    """One place where a rule is broken, and what is there."""

    path: str
    line: int | None
    message: str
    advice: str = ""
    """What to do here; "": as the rule says."""
    fixable: bool = False


@dataclass(frozen=True)
class Finding:
    """One thing in a Space that would break, or waste quota."""

    code: str
    severity: Severity
    path: str
    """Relative to the Space's folder, with slashes."""
    line: int | None
    message: str
    why: str
    advice: str
    fixable: bool
    """Whether `zerokit doctor --fix` mends it."""

    @property
    def place(self) -> str:
        """Path and line, as editors open them."""
        path = printable(self.path)
        return path if self.line is None else f"{path}:{self.line}"


def printable(text: str) -> str:
    """A text from a file without what a terminal would act on, or could not show."""
    return "".join(c if c.isprintable() else "?" for c in text)


@dataclass(frozen=True)
class Report:
    """All findings of a Space, by file and line."""

    folder: str
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What would break."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What would waste quota or surprise."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "folder": self.folder,
            "errors": len(self.errors),
            "warnings": len(self.warnings),
            "findings": [asdict(finding) for finding in self.findings],
        }
