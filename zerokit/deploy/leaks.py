"""Tokens and keys that are written in a file which is to be uploaded."""

from __future__ import annotations

import mmap
import re
from collections.abc import Collection, Iterable, Iterator

from zerokit.deploy.errors import SecretFound
from zerokit.deploy.files import File, unreadable

MIN_VALUE = 8
"""A shorter secret would be found everywhere."""
MAX_NAMED = 5

_KINDS: dict[str, str] = {
    "a token of the Hub": r"\bhf_[A-Za-z0-9]{30,}\b",
    "a token of the Hub for organisations": r"\bapi_org_[A-Za-z0-9]{30,}\b",
    "a key of OpenAI": r"\bsk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{40,}",
    "a key of Anthropic": r"\bsk-ant-[A-Za-z0-9_-]{40,}",
    "a token of GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})\b",
    "a key of AWS": r"\bAKIA[0-9A-Z]{16}\b",
    "a key of Google": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "a token of Slack": r"\bxox[abprs]-[0-9A-Za-z-]{20,}",
    "a private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
}
_ANY = re.compile("|".join(f"({pattern})" for pattern in _KINDS.values()).encode())
_MIN_LETTERS = 8
"""Fewer different characters are a placeholder such as hf_xxxxxxxx."""


def kind_of(text: str) -> str | None:
    """What a text holds, as "a token of the Hub"; None when it looks like no secret."""
    return next((kind for kind, _ in _found(text.encode("utf-8", "replace"))), None)


def check_files(files: Iterable[File], values: Collection[str]) -> None:
    """Refuse files with a secret in them. What was found is never told, only where.

    Args:
        files: what is to be uploaded.
        values: secrets that are known: the caller's token, and those which are set in the Space.

    Raises:
        SecretFound: with file, line and kind of each.
    """
    known = {value.encode() for value in values if len(value) >= MIN_VALUE}
    places: list[str] = []
    for file in files:
        try:
            places += _places(file, known)
        except OSError as exc:
            raise unreadable(file.path, exc) from exc
    if places:
        more = f", and {len(places) - MAX_NAMED} more" if len(places) > MAX_NAMED else ""
        raise SecretFound(f"{'; '.join(places[:MAX_NAMED])}{more}.")


def _places(file: File, known: Collection[bytes]) -> Iterator[str]:
    if not file.size:
        return
    with file.path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        is_text = content.find(b"\0", 0, 8192) < 0
        if is_text:
            for kind, at in _found(content):
                yield f"{file.name}, line {content[:at].count(10) + 1}: {kind}"
        for value in known:
            at = content.find(value)
            if at >= 0:
                where = f", line {content[:at].count(10) + 1}" if is_text else ""
                yield f"{file.name}{where}: a secret that is set in the Space, or your own token"


def _found(content: bytes | mmap.mmap) -> Iterator[tuple[str, int]]:
    for match in _ANY.finditer(content):
        kind = list(_KINDS)[(match.lastindex or 1) - 1]
        if kind == "a private key" or len(set(match[0])) >= _MIN_LETTERS:
            yield kind, match.start()
