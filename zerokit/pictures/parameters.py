"""The text that AUTOMATIC1111's web UI, Forge, SD.Next, Civitai and many others write into pictures.

    a lighthouse, oil painting
    Negative prompt: blurry
    Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x768, Model: some/model

The last line holds the settings: keys and values with commas between; a value with a comma, a colon or a line break is
quoted as JSON quotes. Whatever stands before it is the prompt, up to the first line that begins "Negative prompt:".
Adapters stand in the prompt: `<lora:outline:0.8>`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ..errors import RequestError
from ..requests import MAX_PROMPT_CHARACTERS
from .facts import MAX_KEY_CHARACTERS, Record, fitting, kept_extra
from .loras import tagged, untagged

NEGATIVE = "Negative prompt:"
_MAX_PAIRS = 200
_MAX_SETTINGS_CHARACTERS = 100_000
_FEWEST_PAIRS = 3
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"(?=\s*(?:,|$))')
_SIZE = re.compile(r"\s*(\d{1,9})\s*[x×]\s*(\d{1,9})\s*")
_KEY = re.compile(r"\w[\w \-/.()+]*")
_BRACKETS = re.compile(r'[\[\]{}]|"(?:[^"\\]|\\.)*\\?(?:"|$)')  # an open string takes all the rest, once
_MINE = "ZeroKit "
_ORDER = (
    ("steps", "Steps"),
    ("scheduler", "Sampler"),
    ("guidance", "CFG scale"),
    ("seed", "Seed"),
    ("size", "Size"),
    ("model", "Model"),
    ("strength", "Denoising strength"),
    ("mode", "Mode"),
    ("steps_made", "Steps made"),
    ("version", "Version"),
)
_FIELD_OF = {key: field for field, key in _ORDER}


def format_parameters(record: Record) -> str:
    """The record as those tools write it; `parse_parameters` gives it back.

    What does not survive: a prompt with a line that begins "Negative prompt:" and the adapters behind it, pairs of
    `extra` whose key is not made of letters, digits, blanks and -/.()+, pairs whose key says what a field says already,
    and adapters with a colon in their names. A prompt that has such a `<lora:...>` itself is read as one with an
    adapter.
    """
    written = _written(record)
    for key, value in record.extra:
        if key not in written and _KEY.fullmatch(key) and key == key.strip():
            written[key] = value
    settings = ", ".join(f"{key}: {_quoted(value)}" for key, value in written.items())
    negative = f"{NEGATIVE} {record.negative_prompt}\n" if record.negative_prompt else ""
    return f"{tagged(record.prompt, record.adapters)}\n{negative}{settings}"


def _written(record: Record) -> dict[str, str]:
    values: dict[str, Any] = {field: getattr(record, field, None) for field, _ in _ORDER}
    values["size"] = f"{record.width}x{record.height}" if record.width or record.height else ""
    values["version"] = record.version and _MINE + record.version
    if record.mode == _mode_of(values["strength"], dict(record.extra)):
        values["mode"] = ""
    written = {"Steps": str(record.steps)}  # even 0: the key by which the line is known for what it is
    written.update({key: _said(values[field]) for field, key in _ORDER[1:] if values[field] not in (None, "")})
    return written


def _said(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _quoted(value: str) -> str:
    plain = value == value.strip() and not re.search(r'[,:\n\r"\[\]{}]', value)
    return value if plain else json.dumps(value, ensure_ascii=False)


def parse_parameters(text: str) -> Record | None:
    """The record in a text that one of those tools wrote, or None where it holds neither settings nor negative prompt.

    What does not fit its field (a seed beyond 2**31 - 1, 1,000 steps) and keys without a field go to `extra`.

    Raises:
        RequestError: the prompt or the settings are longer than any that can be read.
    """
    lines = text.rstrip().split("\n")
    pairs = list(_pairs(lines[-1])) if _may_be_settings(lines[-1]) else []
    settled = len(pairs) >= _FEWEST_PAIRS or (bool(pairs) and pairs[0][0] == "Steps")
    lines = lines[:-1] if settled else text.split("\n")
    at = next((i for i, line in enumerate(lines) if line.startswith(NEGATIVE)), None)
    if not settled and at is None:
        return None
    prompt = "\n".join(lines[:at])
    negative = "" if at is None else "\n".join(lines[at:])[len(NEGATIVE) :].removeprefix(" ")
    for name, said in (("prompt", prompt), ("negative prompt", negative)):
        if len(said) > MAX_PROMPT_CHARACTERS:
            raise RequestError(
                f"The {name} in the picture has {len(said):,} characters; at most {MAX_PROMPT_CHARACTERS:,} are read."
            )
    return _record(prompt, negative, pairs if settled else [])


def _may_be_settings(line: str) -> bool:
    if not line.lstrip().startswith("Steps:"):
        return len(line) <= _MAX_SETTINGS_CHARACTERS and not line.startswith(NEGATIVE)
    if len(line) > _MAX_SETTINGS_CHARACTERS:
        raise RequestError(
            f"The settings in the picture have {len(line):,} characters; at most {_MAX_SETTINGS_CHARACTERS:,} are read."
        )
    return True


def _pairs(line: str) -> Iterator[tuple[str, str]]:
    """Keys and values of the settings, from left to right, each character looked at a bounded number of times."""
    at = 0
    for _ in range(_MAX_PAIRS):
        colon = line.find(":", at)
        if colon < 0:
            return
        key = line[at:colon].rpartition(",")[2].strip()
        value, at = _value(line, colon + 1)
        if len(key) <= MAX_KEY_CHARACTERS and _KEY.fullmatch(key):
            yield key, value


def _value(line: str, at: int) -> tuple[str, int]:
    """The value that begins there, and where the next key does."""
    while at < len(line) and line[at] == " ":
        at += 1
    end = None
    if quoted := _QUOTED.match(line, at):
        return _unquoted(quoted[0]), _after(line, quoted.end())
    if line[at : at + 1] in ("[", "{"):
        end = _closed(line, at)
    if end is None:
        comma = line.find(",", at)
        end = len(line) if comma < 0 else comma
    return line[at:end].strip(), _after(line, end)


def _after(line: str, end: int) -> int:
    comma = line.find(",", end)
    return len(line) if comma < 0 else comma + 1


def _closed(line: str, at: int) -> int | None:
    """Where the bracket that opens there is closed: Civitai writes JSON without quoting it."""
    depth = 0
    for found in _BRACKETS.finditer(line, at):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        if depth == 0:
            return found.end()
    return None


def _unquoted(value: str) -> str:
    try:
        return str(json.loads(value, strict=False))
    except ValueError:
        return value[1:-1]


def _record(prompt: str, negative: str, pairs: list[tuple[str, str]]) -> Record:
    prompt, adapters = untagged(prompt)
    values: dict[str, Any] = {"prompt": prompt, "negative_prompt": negative}
    extra: list[tuple[str, str]] = []
    for key, value in pairs:
        new = fitting(_read(key, value))
        if new and not new.keys() & values.keys():
            values.update(new)
        elif not (key == "Steps" and value == "0"):
            extra.append((key, value))
    kept = dict(kept_extra(extra))
    if values.get("scheduler"):
        values["scheduler"] = _with_schedule(values["scheduler"], kept)
    values.setdefault("mode", _mode_of(values.get("strength"), kept))
    return Record(**fitting(values), extra=tuple(kept.items()), adapters=adapters)


def _read(key: str, value: str) -> dict[str, Any]:
    """What a pair says of a Record's fields; what cannot be read is left out."""
    field = _FIELD_OF.get(key, "")
    if field == "size":
        size = _SIZE.fullmatch(value)
        both = fitting({"width": int(size[1]), "height": int(size[2])}) if size else {}
        return both if len(both) == 2 else {}
    if field == "version":
        return {"version": value.removeprefix(_MINE)} if value.startswith(_MINE) else {}
    if field in ("steps", "seed", "steps_made"):
        return {field: int(value)} if re.fullmatch(r"\d{1,10}", value, re.ASCII) else {}
    if field in ("guidance", "strength"):
        return {field: float(value)} if re.fullmatch(r"\d{1,9}(\.\d{1,30})?(e-?\d{1,3})?", value, re.ASCII) else {}
    return {field: value} if field else {}


def _with_schedule(sampler: str, extra: dict[str, str]) -> str:
    """The web UI from 1.9 on names the noise schedule apart; before, it was a part of the sampler's name."""
    schedule = extra.get("Schedule type", "")
    named = sampler if schedule in ("Automatic", "") else f"{sampler} {schedule}"
    if not fitting({"scheduler": named}):
        return sampler
    extra.pop("Schedule type", None)
    return named


def _mode_of(strength: float | None, extra: dict[str, str]) -> str:
    """By what other tools write: a strength without a second pass for size, and a mask's settings."""
    if strength is None or any(key.startswith("Hires") for key in extra):
        return "text"
    return "inpaint" if extra.keys() & {"Mask blur", "Masked content", "Inpaint area"} else "image"
