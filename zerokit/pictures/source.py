"""The bytes of a picture file that came from somewhere: opened, bounded, and named for what they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from os import SEEK_END
from pathlib import Path
from typing import BinaryIO

from ..errors import RequestError

MAX_FILE_BYTES = 100_000_000
READABLE = "PNG, JPEG, WebP, GIF, AVIF, BMP, TIFF and PPM"
_HEAD_BYTES = 1024

_READ = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    *((b"P%d" % n, "PPM") for n in range(1, 7)),
    (b"Pf", "PPM"),
)
_NOT_READ = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript file"),
    (b"8BPS", "a Photoshop file"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\0\0\1\0", "an icon file"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"\x1aE\xdf\xa3", "a video"),
)


@contextmanager
def opened(source: str | Path | bytes, what: str) -> Iterator[BinaryIO]:
    """The file at a path or in bytes, open at its start; RequestError if it is absent, empty or too large."""
    with _file(source, what) as file:
        size = file.seek(0, SEEK_END)
        file.seek(0)
        if not size:
            raise RequestError(f"The {what} is empty: its file has 0 bytes.")
        if size > MAX_FILE_BYTES:
            raise RequestError(
                f"The file of the {what} has {size / 1e6:,.0f} MB, and at most {MAX_FILE_BYTES / 1e6:,.0f} MB are read."
            )
        yield file


def _file(source: str | Path | bytes, what: str) -> BinaryIO:
    if isinstance(source, bytes | bytearray | memoryview):
        return BytesIO(source)
    if not source or not isinstance(source, str | Path):
        raise RequestError(f"There is no {what}. Choose one first.")
    try:
        return open(source, "rb")
    except (OSError, ValueError) as error:
        raise RequestError(f"The {what} is not there any more. Send it again.") from error


def kind(file: BinaryIO) -> str:
    """What a file begins like: "PNG", "JPEG", ... of those that are read, or "" for none of them."""
    head = _head(file)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis"):
        return "AVIF"
    return next((name for magic, name in _READ if head.startswith(magic)), "")


def not_read(file: BinaryIO, what: str) -> RequestError:
    """The refusal of a file that is no picture, or none of a kind that is read, by what it begins like."""
    return RequestError(f"The {what} is {_named(_head(file))}; {READABLE} are read. Save it as PNG or JPEG.")


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    return head


def _named(head: bytes) -> str:
    for magic, name in _NOT_READ:
        if head.startswith(magic):
            return name
    if head[4:8] == b"ftyp":
        return "a HEIC photo" if head[8:11] in (b"hei", b"hev", b"mif", b"msf") else "a video"
    return _named_text(head) or "no picture file that is known here"


def _named_text(head: bytes) -> str:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if b"<svg" in text and text.startswith(b"<"):
        return "an SVG drawing"
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page (HTML)"
    return "a text file" if text and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in text[:100]) else ""
