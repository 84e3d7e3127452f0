"""Reads the data files and splits their wordings into those that are trained and those that are held out.

The split depends on nothing but the texts (a hash), so that it stays the same when other topics change:
of a topic with eight patterns or more one whole pattern is held out, and of all other wordings about one in ten.
The first wording of a topic, the canonical one, is always trained.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FOLDER = Path(__file__).parent
_TOPIC_FILES = ("zerogpu", "zerokit", "talk", "long")
_HELD_OUT_PERCENT = 10
_PATTERNS_FOR_A_HELD_OUT_ONE = 8

Split = Literal["trained", "new wording", "new pattern"]


@dataclass(frozen=True)
class Wording:
    """One way to ask a question, with the one right answer."""

    text: str
    answer: str
    topic: str
    """The id of the topic; for a row of a table `table/row`."""
    kind: str
    """The data file or table the topic comes from: zerogpu, zerokit, talk, long, capitals, colours, sums, ..."""
    split: Split
    canonical: bool = False


def normal_form(text: str) -> str:
    """The text without case and punctuation: two wordings with the same normal form are the same question."""
    kept = re.sub(r"[^\w+*=/@.\s-]", "", text.lower())
    return " ".join(kept.split()).strip(" .") or text.strip()


@cache
def load_tables() -> dict[str, Any]:
    """Read tables.toml: capitals, colours, sums, what is unknown, gibberish, system messages, words around."""
    return _read("tables")


@cache
def load_wordings() -> tuple[Wording, ...]:
    """All wordings that the data files spell out, in the order of the files.

    Raises:
        ValueError: two topics claim the same wording.
    """
    tables = load_tables()
    found = [
        *itertools.chain.from_iterable(_from_topics(name) for name in _TOPIC_FILES),
        *_from_rows("capitals", tables["capitals"]),
        *_from_rows("colours", tables["colours"]),
        *_from_rows("names", tables["names"]),
        *_from_sums(tables["sums"]),
        *_from_list("unknown", tables["unknown"]),
        *_from_list("gibberish", tables["gibberish"]),
    ]
    return tuple(_without_doubles(found))


def expand(pattern: str) -> list[str]:
    """Spell out a pattern: `(a|b) c` becomes `a c` and `b c`."""
    parts = re.split(r"\(([^()]*)\)", pattern)
    choices = [part.split("|") if index % 2 else [part] for index, part in enumerate(parts)]
    texts = ("".join(choice) for choice in itertools.product(*choices))
    return [re.sub(r"\s+([?.!,])", r"\1", " ".join(text.split())) for text in texts]


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def _hash(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16)


def _is_held_out(text: str) -> bool:
    return _hash(normal_form(text)) % 100 < _HELD_OUT_PERCENT


def _split_patterns(topic: str, patterns: list[str], about: list[str]) -> Iterator[tuple[str, Split, bool]]:
    """Yield text, split and canonical for each wording of a topic: its own patterns and the frames for all."""
    held_out = ""
    if len(patterns) >= _PATTERNS_FOR_A_HELD_OUT_ONE:
        held_out = min(patterns[1:], key=lambda pattern: _hash(f"{topic} {pattern}"))
    for index, pattern in enumerate(patterns):
        for number, text in enumerate(expand(pattern)):
            canonical = index == number == 0
            split: Split = "trained"
            if pattern == held_out:
                split = "new pattern"
            elif not canonical and _is_held_out(text):
                split = "new wording"
            yield text, split, canonical
    for frame, thing in itertools.product(load_tables()["frames"]["ask"], about):
        text = frame.format(x=thing)
        yield text, "new wording" if _is_held_out(text) else "trained", False


def _from_topics(kind: str) -> Iterator[Wording]:
    for topic in _read(kind)["topic"]:
        for text, split, canonical in _split_patterns(topic["id"], topic["ask"], topic.get("about", [])):
            yield Wording(text, topic["answer"], topic["id"], kind, split, canonical)


def _from_table(kind: str, row: str, answer: str, texts: list[str]) -> Iterator[Wording]:
    for index, text in enumerate(texts):
        split: Split = "new wording" if index and _is_held_out(text) else "trained"
        yield Wording(text, answer, f"{kind}/{row}", kind, split, canonical=index == 0)


def _from_rows(kind: str, table: dict[str, Any]) -> Iterator[Wording]:
    patterns = list(itertools.chain.from_iterable(map(expand, table["ask"])))
    for x, y in table["rows"].items():
        names = {"x": x, "X": x[0].upper() + x[1:], "y": y}
        yield from _from_table(kind, x, table["answer"].format(**names), [p.format(**names) for p in patterns])


def _from_sums(table: dict[str, Any]) -> Iterator[Wording]:
    patterns = list(itertools.chain.from_iterable(map(expand, table["ask"])))
    words = table["words"]
    for a, b in itertools.product(range(table["largest"] + 1), repeat=2):
        names = {"a": a, "b": b, "c": a + b, "A": words[a], "B": words[b]}
        texts = [p.format(**names) for p in patterns]
        yield from _from_table("sums", f"{a}+{b}", table["answer"].format(**names), texts)


def _from_list(kind: str, table: dict[str, Any]) -> Iterator[Wording]:
    """Questions with one answer in common; those held out tell whether the answer reaches further than they do."""
    for index, text in enumerate(table["ask"]):
        split: Split = "new pattern" if index and _is_held_out(text) else "trained"
        yield Wording(text, table["answer"], kind, kind, split, canonical=split == "trained")


def _without_doubles(found: list[Wording]) -> Iterator[Wording]:
    """Keep the first of equal wordings; what is trained is never held out as well."""
    trained = {normal_form(wording.text) for wording in found if wording.split == "trained"}
    seen: dict[str, Wording] = {}
    for wording in found:
        form = normal_form(wording.text)
        first = seen.setdefault(form, wording)
        if first.answer != wording.answer:
            raise ValueError(f"{wording.text!r} is asked by {first.topic!r} and by {wording.topic!r}. Drop one.")
        held_out_double = wording.split != "trained" and form in trained
        if not held_out_double and (first is wording or first.text != wording.text):
            yield wording
