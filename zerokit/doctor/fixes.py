"""The edits that are safe: each changes a few characters and leaves the rest of a file byte for byte as it is."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from .card import ZERO_GPU, parse_card
from .examine import examine
from .findings import Finding
from .reading import read_text

_SCOPE = "read-billing"


@dataclass(frozen=True)
class Fix:
    """One change that was made."""

    code: str
    path: str
    what: str


def fix(folder: str | Path) -> list[Fix]:
    """Mend what can be mended safely; asking again changes nothing more.

    Raises:
        UsageError: the folder holds no Space, or a file cannot be written.
    """
    root = Path(folder)
    done: list[Fix] = []
    for code, mend in MENDERS.items():
        for path in dict.fromkeys(f.path for f in _fixable(root, code)):
            done += _mend(root, code, path, mend)
    return done


def _fixable(root: Path, code: str) -> list[Finding]:
    return [finding for finding in examine(root).findings if finding.code == code and finding.fixable]


def _mend(root: Path, code: str, path: str, mend: Callable[[str, Finding], tuple[str, str]]) -> list[Fix]:
    """Mend all findings of one code in one file, from its end to its beginning, so that lines keep their numbers."""
    text = read_text(root, path)
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    text = before = text.removeprefix(mark)
    done = []
    findings = [finding for finding in _fixable(root, code) if finding.path == path]
    for finding in sorted(findings, key=lambda finding: -(finding.line or 0)):
        changed, what = mend(text, finding)
        if changed != text and _still_reads(path, changed):
            text = changed
            done.append(Fix(code, path, what))
    if text != before:
        _write(root / path, mark + text)
    return done


def _still_reads(path: str, text: str) -> bool:
    """Whether a changed file is as readable as it was."""
    if path.endswith(".py"):
        try:
            ast.parse(text)
        except SyntaxError:
            return False
    return path != "README.md" or not parse_card(text).problem


def _write(path: Path, text: str) -> None:
    """Put a file in the place of the old one in one step, with its rights."""
    path = path.resolve()
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_bytes(text.encode("utf-8"))
        new.chmod(path.stat().st_mode & 0o7777)
        os.replace(new, path)
    except OSError as exc:
        new.unlink(missing_ok=True)
        raise UsageError(f"{path} cannot be written: {exc.strerror or exc}.") from exc


def _python_version(text: str, finding: Finding) -> tuple[str, str]:
    return _card_field(text, "python_version", '"3.12"'), 'python_version is "3.12"'


def _hardware(text: str, finding: Finding) -> tuple[str, str]:
    return _card_field(text, "suggested_hardware", ZERO_GPU), f"suggested_hardware is {ZERO_GPU}"


def _card_field(text: str, name: str, value: str) -> str:
    """The card with another value for a field that it has; a comment behind it stays."""
    lines = text.splitlines(keepends=True)
    number = parse_card(text).line(name) - 1
    pattern = rf"^({name}[ \t]*:[ \t]*)(\"[^\"]*\"|'[^']*'|[^\s#]\S*)"
    lines[number] = re.sub(pattern, lambda match: match[1] + value, lines[number], count=1)
    return "".join(lines)


def _oauth(text: str, finding: Finding) -> tuple[str, str]:
    card = parse_card(text)
    lines = text.splitlines(keepends=True)
    end = "\r\n" if lines[0].endswith("\r\n") else "\n"
    if "hf_oauth_scopes" in card.lines:
        _add_scope(lines, card.lines["hf_oauth_scopes"], end)
    else:
        lines.insert(card.line("hf_oauth", "sdk"), f"hf_oauth_scopes:{end}  - {_SCOPE}{end}")
    if "hf_oauth" in card.lines:
        return _card_field("".join(lines), "hf_oauth", "true"), f"visitors can sign in, with the scope {_SCOPE}"
    lines.insert(card.line("sdk"), f"hf_oauth: true{end}")
    return "".join(lines), f"visitors can sign in, with the scope {_SCOPE}"


def _add_scope(lines: list[str], number: int, end: str) -> None:
    """Add the scope to a list, written in one line with brackets or with a dash in each line."""
    scopes = parse_card("".join(lines)).fields["hf_oauth_scopes"]
    if isinstance(scopes, list) and _SCOPE in scopes:
        return
    line, below = lines[number - 1], lines[number] if number < len(lines) else ""
    if "[" in line:
        lines[number - 1] = re.sub(r"\s*\]", f", {_SCOPE}]", line, count=1).replace("[, ", "[")
    elif dash := re.match(r"[ \t]*-[ \t]+", below):
        lines.insert(number, f"{dash[0]}{_SCOPE}{end}")


def _unpin(text: str, finding: Finding) -> tuple[str, str]:
    lines = text.splitlines(keepends=True)
    number = (finding.line or 1) - 1
    old = re.match(r"\s*spaces[^;#\r\n]*", lines[number], re.IGNORECASE)
    if old is None:
        return text, ""
    kept = re.match(r"\s*[\w.-]+(\[[^\]]*\])?", old[0])
    space = re.search(r"\s*$", old[0])
    lines[number] = (kept[0] if kept else "spaces") + (space[0] if space else "") + lines[number][old.end() :]
    return "".join(lines), f"{old[0].strip()} is no longer pinned"


def _spaces_first(text: str, finding: Finding) -> tuple[str, str]:
    """Move `import spaces`, a line of its own, above the first import of what is not in Python itself."""
    tree = ast.parse(text)
    lines = text.splitlines(keepends=True)
    old = next((n.lineno for n in tree.body if isinstance(n, ast.Import) and ast.unparse(n) == "import spaces"), 0)
    first = next((node.lineno for node in tree.body if _imports_a_package(node)), 0)
    starts = [node.lineno for node in tree.body].count(first)
    is_counted_alike = len(lines) == text.count("\n") + (not text.endswith("\n"))
    if not is_counted_alike or not 0 < first < old or starts != 1:
        return text, ""
    if not re.fullmatch(r"import spaces[ \t]*(#.*)?\r?\n?", lines[old - 1]):
        return text, ""
    end = "\r\n" if lines[0].endswith("\r\n") else "\n"
    moved = lines.pop(old - 1).rstrip("\r\n") + end
    lines.insert(first - 1, moved)
    return "".join(lines), "`import spaces` comes before the other packages"


def _imports_a_package(node: ast.stmt) -> bool:
    """Whether a statement imports something that is not in Python's own library."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import):
            names = [alias.name for alias in inner.names]
        elif isinstance(inner, ast.ImportFrom):
            names = [inner.module or "."]
        else:
            continue
        if any(name.partition(".")[0] not in (*sys.stdlib_module_names, "__future__") for name in names):
            return True
    return False


def _lazy(text: str, finding: Finding) -> tuple[str, str]:
    lines = text.splitlines(keepends=True)
    number = (finding.line or 1) - 1
    lines[number] = re.sub(r"""(["'])eager\1""", lambda match: f"{match[1]}lazy{match[1]}", lines[number], count=1)
    return "".join(lines), "examples are cached when they are first asked for"


MENDERS: dict[str, Callable[[str, Finding], tuple[str, str]]] = {
    "ZK111": _hardware,
    "ZK106": _python_version,
    "ZK108": _unpin,
    "ZK110": _oauth,
    "ZK202": _spaces_first,
    "ZK203": _spaces_first,
    "ZK410": _lazy,
}
