"""The text chunks of a PNG file, read and written without touching its pixels.

PNG specification, third edition, sections 5 (chunks) and 11.3.3 (tEXt, zTXt, iTXt).
"""

from __future__ import annotations

import struct
import zlib
from os import SEEK_CUR, SEEK_END
from typing import BinaryIO

from PIL.PngImagePlugin import MAX_TEXT_CHUNK, PngInfo

from ..errors import RequestError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_TEXT_BYTES = 2 * 1024 * 1024
"""The most bytes that one text of a file may have, decompressed. The longest that ZeroKit writes has 1.4 MB."""
LONG_BYTES = 2048
"""Longer texts are compressed."""
_MAX_CHUNKS = 100_000
_MAX_KEYWORD = 79


def add_text(info: PngInfo, keyword: str, text: str) -> None:
    """Put a text where other programs can read it: tEXt if it is Latin-1, else iTXt; compressed if it is long."""
    size = len(text.encode("utf-8"))
    packed = LONG_BYTES < size < MAX_TEXT_CHUNK  # PIL refuses to open a picture with more than that compressed
    try:
        text.encode("latin-1")
        info.add_text(keyword, text, zip=packed)
    except UnicodeEncodeError:
        info.add_itxt(keyword, text, zip=packed)


def read_texts(file: BinaryIO, keywords: tuple[str, ...]) -> dict[str, str]:
    """The first text under each of these keywords; those that are not there are left out.

    Raises:
        RequestError: the file is no PNG, damaged or cut off, or one of the texts has more than MAX_TEXT_BYTES.
    """
    texts: dict[str, str] = {}
    size = file.seek(0, SEEK_END)
    file.seek(0)
    if file.read(8) != SIGNATURE:
        raise RequestError("The file is no PNG.")
    for number in range(_MAX_CHUNKS):
        length, kind = _head(file, size, first=number == 0)
        if kind == b"IEND":
            return texts
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            _keep(texts, keywords, file, length, kind)
        else:
            file.seek(length + 4, SEEK_CUR)
    raise RequestError(f"The PNG file has more than {_MAX_CHUNKS:,} chunks, the most that are read.")


def _head(file: BinaryIO, size: int, *, first: bool) -> tuple[int, bytes]:
    head = file.read(8)
    length, kind = struct.unpack(">I4s", head) if len(head) == 8 else (size, b"")
    if file.tell() + length + 4 > size:
        raise RequestError(f"The PNG file is cut off: it ends after {size:,} bytes. Send it again.")
    if first and (kind != b"IHDR" or length != 13):
        raise RequestError("The PNG file is damaged: it has no header. Send it again.")
    return length, kind


def _keep(texts: dict[str, str], keywords: tuple[str, ...], file: BinaryIO, length: int, kind: bytes) -> None:
    start = file.tell()
    keyword = file.read(min(length, _MAX_KEYWORD + 1)).partition(b"\0")[0].decode("latin-1")
    if keyword in keywords and keyword not in texts:
        if length > MAX_TEXT_BYTES + _MAX_KEYWORD:
            raise _too_long(keyword)
        file.seek(start)
        data = file.read(length)
        if zlib.crc32(kind + data) != int.from_bytes(file.read(4), "big"):
            raise RequestError(f'The PNG file is damaged: the checksum of its text "{keyword}" is wrong.')
        texts[keyword] = _text(keyword, data[len(keyword) + 1 :], kind)
    file.seek(start + length + 4)


def _text(keyword: str, data: bytes, kind: bytes) -> str:
    if kind == b"tEXt":
        return data.decode("latin-1")
    if kind == b"zTXt":
        return _inflated(keyword, data[1:]).decode("latin-1")
    packed = data[:1] == b"\1"
    data = data[2:].partition(b"\0")[2].partition(b"\0")[2]  # after the language and the translated keyword
    return (_inflated(keyword, data) if packed else data).decode("utf-8", "replace")


def _inflated(keyword: str, data: bytes) -> bytes:
    try:
        text = zlib.decompressobj().decompress(data, MAX_TEXT_BYTES + 1)
    except zlib.error as error:
        raise RequestError(f'The PNG file is damaged: its text "{keyword}" cannot be decompressed.') from error
    if len(text) > MAX_TEXT_BYTES:
        raise _too_long(keyword)
    return text


def _too_long(keyword: str) -> RequestError:
    return RequestError(f'The text "{keyword}" of the PNG file has more than {MAX_TEXT_BYTES:,} bytes, the most read.')
