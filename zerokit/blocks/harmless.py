"""Text in a conversation fetches nothing and brings no HTML into the page, whoever wrote it.

A chat shows Markdown. A picture in it is fetched from wherever the text says, and the address may carry what was said
before: a model, or an adapter that somebody trained for it, could give a conversation away. Gradio (6.31) takes scripts
out, but not pictures. So a sign that is not seen stands in what would begin one; the model never reads that sign.
"""

from __future__ import annotations

import re

_SIGN = "\u2060"
"""A word joiner: no width, and no beginning of a tag or a picture behind it."""
_BEGINS = re.compile(r"(?<=<)(?=[A-Za-z/!?])|(?<=!)(?=\[)")
_SIGNED = re.compile(rf"(?<=<){_SIGN}(?=[A-Za-z/!?])|(?<=!){_SIGN}(?=\[)")
_FENCE = re.compile(r"```[\w+#.-]*[ \t]*")
_OTHER = ("```", "~~~", "$$")
"""Where one of these stands in a way that is not plain, nothing is taken for code."""


def harmless(text: str) -> str:
    """The text with the sign in it, but for blocks of code, which are shown as they are."""
    lines = text.split("\n")
    code = _code(lines)
    return "\n".join(line if number in code else _BEGINS.sub(_SIGN, line) for number, line in enumerate(lines))


def as_written(text: str) -> str:
    """The text without the sign."""
    return _SIGNED.sub("", text)


def _code(lines: list[str]) -> set[int]:
    """The lines that every reading of Markdown takes for code: in blocks that open and close at the margin."""
    fences = [number for number, line in enumerate(lines) if _FENCE.fullmatch(line)]
    if any(other in line for n, line in enumerate(lines) if n not in fences for other in _OTHER):
        return set()
    code: set[int] = set()
    opened: int | None = None
    for number in fences:
        if opened is None:
            opened = number
        elif lines[number].strip() == "```":
            code.update(range(opened + 1, number))
            opened = None
    return code
