"""Secrets and variables of a Space, from files in dotenv form."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

from dotenv.parser import parse_stream

from zerokit.deploy.leaks import kind_of
from zerokit.errors import UsageError

MAX_BYTES = 1_000_000
MAX_VALUE = 64_000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_values(path: Path, option: str) -> dict[str, str]:
    """Names and values of a file in dotenv form. No message holds a value.

    Args:
        path: the file, with lines such as NAME="value".
        option: the option that named it, for messages.

    Raises:
        UsageError: it cannot be read, or a line is not of that form.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{option}: {path} is larger than {MAX_BYTES:,} bytes. Is it the right file?")
        text = path.read_text("utf-8-sig")
    except OSError as exc:
        raise UsageError(f"{option}: {path} cannot be read ({exc.strerror}).") from exc
    except UnicodeDecodeError as exc:
        raise UsageError(f"{option}: {path} is not a text in UTF-8.") from exc
    return _parsed(text, f"{option}: {path}")


def check_together(secrets: dict[str, str], variables: dict[str, str]) -> None:
    """Refuse what the Hub would: a name in both, and a variable, which everybody can read, with a secret in it.

    Raises:
        UsageError: with the names.
    """
    if both := sorted(secrets.keys() & variables.keys()):
        raise UsageError(f"{', '.join(both)}: a name is a secret or a variable, not both.")
    for name, value in variables.items():
        if kind := kind_of(value):
            raise UsageError(f"The variable {name} holds {kind}, and everybody can read it. Give it in --secrets.")


def _parsed(text: str, where: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for binding in parse_stream(StringIO(text)):
        line = binding.original.line
        if binding.error:
            raise UsageError(f'{where}, line {line}: this is not NAME=value or NAME="value".')
        if binding.key is None:
            continue
        if not _NAME.fullmatch(binding.key):
            raise UsageError(f"{where}, line {line}: a name has letters, digits and _ only, and starts with no digit.")
        if not binding.value:
            raise UsageError(f"{where}, line {line}: {binding.key} has no value.")
        if "\0" in binding.value or len(binding.value) > MAX_VALUE:
            raise UsageError(f"{where}, line {line}: the value of {binding.key} is too long or no text.")
        if binding.key in values:
            raise UsageError(f"{where}, line {line}: {binding.key} is there twice.")
        values[binding.key] = binding.value
    return values
