"""Figures of the embedded models and adapters, as the recipes print them and the cards have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    name: str
    value: str


def as_table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table."""
    lines = [f"| {figure.name} | {figure.value} |" for figure in figures]
    return "\n".join(["| what | figure |", "|---|---|", *lines])


def share(verdicts: Sequence[bool]) -> str:
    """How many of the verdicts are right."""
    return f"{sum(verdicts)} of {len(verdicts)} ({100 * sum(verdicts) / max(1, len(verdicts)):.1f}%)"


def folder_bytes(folder: Path) -> int:
    """The size of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
