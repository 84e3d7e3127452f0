"""PNG files that say how their picture was made, for ZeroKit and for other tools."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..errors import RequestError
from .chunks import add_text, read_texts
from .facts import Record, fitting, kept_extra
from .loras import kept_adapters
from .opening import decoding
from .parameters import format_parameters, parse_parameters
from .source import kind, opened

__all__ = ["Record", "format_parameters", "parse_parameters", "read_png", "write_png"]

KEYWORD = "zerokit"
SHARED_KEYWORD = "parameters"
_EXIF, _USER_COMMENT = 0x8769, 0x9286
_PLAIN = ("1", "L", "LA", "RGB", "RGBA")


def write_png(image: Image.Image, record: Record, path: Path) -> None:
    """Write the picture as a PNG file that carries the record and nothing else, whole or not at all.

    The record stands in it twice: as JSON under "zerokit", exactly, and as `format_parameters` has it under
    "parameters", for other tools. EXIF, colour profile and texts of `image` are left behind.

    Args:
        image: any mode; others than 1, L, LA, RGB and RGBA become RGB.
        record: how it was made.
        path: of the file, which is replaced if it is there.

    Raises:
        OSError: the file cannot be written.
    """
    bare = image.copy() if image.mode in _PLAIN else image.convert("RGB")
    bare.info = {}
    info = PngInfo()
    add_text(info, SHARED_KEYWORD, format_parameters(record).replace("\0", " "))  # which a PNG text cannot hold
    add_text(info, KEYWORD, _as_json(record))
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with open(part, "xb") as file:
            bare.save(file, "PNG", pnginfo=info)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_png(source: str | Path | bytes) -> Record | None:
    """How the picture in a file was made, or None where the file does not say; its pixels are not decoded.

    Looked for in this order: ZeroKit's own text in a PNG, "parameters" in a PNG, and the EXIF comment of a JPEG or
    WebP. What does not fit a field is left out.

    Args:
        source: a path or the bytes of a PNG, JPEG or WebP file.

    Raises:
        RequestError: the file is none of these, damaged or cut off, or its settings are larger than any can be.
    """
    with opened(source, "picture") as file:
        name = kind(file)
        if name == "PNG":
            return _of_png(file)
        if name in ("JPEG", "WebP"):
            return _of_exif(file, name)
    raise RequestError("The settings of a picture are read from PNG, JPEG and WebP files, and this is none of them.")


def _of_png(file: BinaryIO) -> Record | None:
    texts = read_texts(file, (KEYWORD, SHARED_KEYWORD))
    own = _from_json(texts[KEYWORD]) if KEYWORD in texts else None
    if own is not None or SHARED_KEYWORD not in texts:
        return own
    return parse_parameters(texts[SHARED_KEYWORD])


def _of_exif(file: BinaryIO, name: str) -> Record | None:
    with decoding("picture", name), Image.open(file, formats=(name,)) as image:
        comment = image.getexif().get_ifd(_EXIF).get(_USER_COMMENT, b"")
    text = comment if isinstance(comment, str) else _comment_text(bytes(comment))
    return parse_parameters(text.replace("\0", "")) if text else None


def _comment_text(comment: bytes) -> str:
    """The text of a user comment, whose first 8 bytes name its encoding (Exif 2.32, 4.6.5). For "UNICODE" they do not
    name the order of the bytes, and tools differ."""
    code, text = comment[:8], comment[8:]
    if code != b"UNICODE\0":
        return (text if code in (b"ASCII\0\0\0", bytes(8)) else comment).decode("utf-8", "replace")
    ways = [text.decode(encoding, "replace").removeprefix("\ufeff") for encoding in ("utf-16-be", "utf-16-le")]
    return next((way for way in ways if "Steps:" in way), ways[0])


def _as_json(record: Record) -> str:
    values = ((field, getattr(record, field.name)) for field in fields(record))
    said = {field.name: value for field, value in values if value != field.default}
    return json.dumps(said, ensure_ascii=False, allow_nan=False, default=lambda choice: [choice.name, choice.weight])


def _from_json(text: str) -> Record | None:
    """The record in our own text; None where it is none: the prompt at least must be there."""
    try:
        found = json.loads(text, parse_int=_short_int, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    extra: Any = found.get("extra")
    values = fitting(found)
    if "prompt" not in values:
        return None
    adapters = kept_adapters(found.get("adapters"))
    return Record(**values, extra=kept_extra(extra if isinstance(extra, list) else ()), adapters=adapters)


def _short_int(digits: str) -> int | None:
    return int(digits) if len(digits) < 20 else None
