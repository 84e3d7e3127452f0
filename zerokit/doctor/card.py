"""The card of a Space: the YAML at the top of its README.md."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

_BLOCK = re.compile(r"\A\ufeff?\s*---[ \t]*(?:\r\n|\r|\n)(.*?)(?:\r\n|\r|\n)---[ \t]*(?:\r\n|\r|\n|\Z)", re.DOTALL)
"""Where the Hub looks for it (`huggingface_hub/repocard.py`, REGEX_YAML_BLOCK)."""
_FIELD = re.compile(r"^([A-Za-z_][\w-]*)[ \t]*:(.*)$")
ZERO_GPU = "zero-a10g"
MOST_CHARACTERS = 50_000
"""Of a card; real ones have some hundreds."""


@dataclass(frozen=True)
class Card:
    """What the card says, and in which line."""

    text: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    """The line of each field of the top level, from 1 on."""
    raw: dict[str, str] = field(default_factory=dict)
    """What stands after each field's colon, without quotes and comments: YAML takes 3.10 for 3.1."""
    problem: str = ""
    problem_line: int | None = None

    def get(self, name: str) -> str:
        """A field's value as text; "" where there is none."""
        value = self.fields.get(name)
        return "" if value is None or isinstance(value, list | dict) else str(self.raw.get(name) or value).strip()

    def line(self, *names: str) -> int:
        """The line of the first of these fields that is there, else of the first line."""
        return next((self.lines[name] for name in names if name in self.lines), 1)


def parse_card(text: str) -> Card:
    """Read a README.md."""
    block = _BLOCK.match(text)
    if block is None:
        problem = "README.md has no card: the Hub reads it between two lines of --- at the very top."
        return Card(text=text, problem=problem, problem_line=1)
    first = text.count("\n", 0, block.start(1)) + 1
    if len(block[1]) > MOST_CHARACTERS:
        return Card(text=text, problem=f"The card has more than {MOST_CHARACTERS:,} characters.", problem_line=first)
    try:
        fields = yaml.safe_load(block[1])
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        mark = getattr(exc, "problem_mark", None)
        line = first + mark.line if mark is not None else first
        return Card(text=text, problem="The card is not valid YAML.", problem_line=line)
    if not isinstance(fields, dict):
        return Card(text=text, problem="The card holds no fields, such as `sdk: gradio`.", problem_line=first)
    lines, raw = {}, {}
    for number, line in enumerate(block[1].splitlines(), first):
        match = _FIELD.match(line)
        if match:
            lines[match[1]], raw[match[1]] = number, _bare(match[2])
    return Card(text, {str(name): value for name, value in fields.items()}, lines, raw)


def _bare(value: str) -> str:
    value = value.strip()
    quoted = re.match(r"""(["'])(.*?)\1""", value)
    return quoted[2] if quoted else re.split(r"\s#", value, maxsplit=1)[0].strip()
