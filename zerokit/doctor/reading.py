"""Reading the files of a folder that may hold anything."""

from __future__ import annotations

import ast
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from .source import Module

MOST_BYTES = 2_000_000
"""Of one file; what is larger is data."""
MOST_FILES = 2_000
MOST_NESTED = 300
BUNDLED = "zerokit"
"""ZeroKit's own folder, which `zerokit new --bundle` puts beside an app: no part of what the Space's author wrote."""
_NOT_ITS_OWN = ("__pycache__", "node_modules", BUNDLED)


class CannotRead(Exception):
    """A file that says nothing to the doctor: why, and where."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.line = reason, line


def is_file(root: Path, name: str) -> bool:
    """Whether there is a file of that name, which may be any text."""
    try:
        return (root / name).is_file()
    except (OSError, ValueError):
        return False


def read_text(root: Path, name: str) -> str:
    """The text of a file in the folder.

    Raises:
        CannotRead: it lies elsewhere, is too large, or is not UTF-8.
    """
    path = root / name
    try:
        if not path.resolve().is_relative_to(root.resolve()):
            raise CannotRead("It leads out of the Space's folder.")
        if not path.is_file():
            raise CannotRead("It is not a file.")
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise CannotRead(f"It has {size:,} bytes, more than the {MOST_BYTES:,} that are read.")
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as exc:
        raise CannotRead("It is not UTF-8 text.", exc.object.count(b"\n", 0, exc.start) + 1) from exc
    except OSError as exc:
        raise CannotRead(f"It cannot be opened: {exc.strerror or exc}.") from exc


def text_files(root: Path, endings: tuple[str, ...]) -> Iterator[str]:
    """The names of the folder's files with these endings, not those in hidden folders; a limited number."""
    seen = 0
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in _NOT_ITS_OWN)
        for file in sorted(files):
            if file.endswith(endings):
                yield (Path(folder) / file).relative_to(root).as_posix()
                seen += 1
                if seen == MOST_FILES:
                    return


def parse(root: Path, name: str, home: str = "", is_app: bool = False) -> Module:
    """Parse a Python file of the folder.

    Raises:
        CannotRead: it is no text, or no Python.
    """
    text = read_text(root, name).removeprefix("\ufeff")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the Space's own escapes
            tree = ast.parse(text)
    except SyntaxError as exc:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise CannotRead(f"Python {version} cannot read it: {exc.msg}.", exc.lineno) from exc
    except ValueError as exc:
        raise CannotRead(f"Python cannot read it: {exc}.") from exc
    except (RecursionError, MemoryError) as exc:
        raise CannotRead("It is nested too deeply to be read.") from exc
    if _is_nested_too_deeply(tree):
        raise CannotRead("It is nested too deeply to be read.")
    return Module(name, text, tree, home, is_app)


def _is_nested_too_deeply(tree: ast.AST) -> bool:
    waiting: list[tuple[ast.AST, int]] = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > MOST_NESTED:
            return True
        waiting += [(child, depth + 1) for child in ast.iter_child_nodes(node)]
    return False
