"""Pictures that visitors send, whatever is in the file: RGB, upright, of a size that a model can work with."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from ..errors import RequestError
from ..requests import MIN_SIDE
from .source import kind, not_read, opened

MAX_PIXELS = 4096 * 4096
"""Larger pictures are shrunk to this."""
MAX_OPENED_PIXELS = 64_000_000
"""Larger pictures are refused by what their header says, before a pixel of them is decoded."""
MAX_ASPECT = 16

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_picture(source: str | Path | bytes | Image.Image, *, what: str = "picture") -> Image.Image:
    """An RGB picture, upright (EXIF), transparency over white, first frame; at most MAX_PIXELS, shrunk if larger.

    16-bit and floating-point pictures are scaled to 8 bits. The size is checked in the file's header, before anything
    is decoded. The result carries nothing of the file but its pixels; a picture that was given is left as it was.

    Args:
        source: a path, the bytes of a file, or a picture of any mode.
        what: what error messages call it.

    Raises:
        RequestError: there is no picture; it is of a kind that is not read, damaged, cut off, larger than
            MAX_OPENED_PIXELS or 100 MB, smaller than 16 pixels on a side, or more than 16 times as long as wide.
    """
    with reading(source, what) as image:
        if image is not source:
            image.draft(None, _within(image.size))  # a JPEG is decoded at 1/2, 1/4 or 1/8 where that is enough
        return _prepared(image, what)


@contextmanager
def reading(source: str | Path | bytes | Image.Image, what: str) -> Iterator[Image.Image]:
    """The picture of a path, of bytes or as it is given, its size checked and its pixels not yet decoded."""
    if isinstance(source, Image.Image):
        _check_size(source, what)
        with decoding(what):
            yield source
        return
    with opened(source, what) as file:
        name = kind(file)
        if not name:
            raise not_read(file, what)
        with decoding(what, name), Image.open(file, formats=(name,)) as image:
            _check_size(image, what)
            yield image


def has_transparency(image: Image.Image) -> bool:
    """Whether any pixel of the picture lets the background through; an alpha channel that is all opaque does not."""
    if not image.has_transparency_data:
        return False
    alpha = _levelled(image).convert("RGBA").getchannel("A")
    return sum(alpha.histogram()[:255]) > 0


def orientation_of(image: Image.Image) -> Image.Transpose | None:
    """What turns the picture upright by its EXIF; None where it is, or where its EXIF cannot be read."""
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, struct.error, Warning):
        return None


@contextmanager
def decoding(what: str, name: str = "") -> Iterator[None]:
    """Turn whatever PIL raises on a hostile file into a RequestError."""
    try:
        yield
    except RequestError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RequestError(
            f"The {what} has far more than {MAX_OPENED_PIXELS / 1e6:,.0f} megapixels, the most that are opened. "
            "Send a smaller one."
        ) from error
    except Exception as error:  # PIL's decoders raise nearly everything, and each means the same to the visitor
        told = "is cut off: its file ends too early" if "truncated" in str(error).lower() else "is damaged"
        of_kind = f" (it begins like a {name} file)" if name else ""
        raise RequestError(f"The {what} {told}{of_kind}. Save or send it again.") from error


def _prepared(image: Image.Image, what: str) -> Image.Image:
    image.load()
    turn = orientation_of(image)  # after load(), which turns a TIFF by itself
    made = _shrunk(_over_white(_levelled(image)))
    if turn is not None:
        made = made.transpose(turn)
    made.info = {}
    return made


def _check_size(image: Image.Image, what: str) -> None:
    width, height = image.size
    said = f"The {what} is {width:,} × {height:,} pixels"
    if width * height > MAX_OPENED_PIXELS:
        raise RequestError(
            f"{said}, {width * height / 1e6:,.0f} megapixels; at most {MAX_OPENED_PIXELS / 1e6:,.0f} are opened. "
            "Send a smaller one."
        )
    if min(width, height) < MIN_SIDE:
        raise RequestError(f"{said}, and must have at least {MIN_SIDE} on each side. Send a larger one.")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise RequestError(f"{said}; no side may be more than {MAX_ASPECT} times the other. Crop it.")


def _within(size: tuple[int, int]) -> tuple[int, int]:
    """The largest size of the same shape that has at most MAX_PIXELS."""
    scale = math.sqrt(MAX_PIXELS / (size[0] * size[1]))
    return size if scale >= 1 else (int(size[0] * scale), int(size[1] * scale))


def _shrunk(image: Image.Image) -> Image.Image:
    size = _within(image.size)
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _levelled(image: Image.Image) -> Image.Image:
    """With 8 bits a channel; where a colour means transparent, that one too."""
    key = image.info.get("transparency")
    if image.mode.startswith("I;16"):
        grey = _scaled(image.convert("I"), 1 / 257, 0)
        return grey if key is None else _keyed(grey, round(key / 257))
    if image.mode in ("I", "F"):
        return _scaled(image, *_levels(image))
    if isinstance(key, tuple) and max(key) > 255:  # of a 16-bit RGB PNG, whose pixels PIL has cut to 8 bits
        return _keyed(image.copy(), tuple(value >> 8 for value in key))
    if image.mode in ("La", "RGBa"):
        return image.convert("LA" if image.mode == "La" else "RGBA")
    return image


def _levels(image: Image.Image) -> tuple[float, float]:
    """Scale and offset that bring 32-bit or floating-point pixels to 0 to 255: 0 to 1, 0 to 255 and 0 to 65,535 are
    taken for what they are, and anything else is stretched from its darkest to its brightest."""
    low, high = (float(value) for value in image.getextrema())  # type: ignore[arg-type]
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RequestError("The picture has pixels that are no numbers (NaN or infinity). Save it again as 8 bits.")
    for top in (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0):
        if low >= 0 and high <= top:
            return 255 / top, 0.0
    return 255 / (high - low), -255 * low / (high - low)


def _scaled(image: Image.Image, scale: float, offset: float) -> Image.Image:
    # PIL cuts off fractions; its own rounding offset is not asked of an "I" picture, so that goes by "F".
    return image.convert("F").point(lambda value: value * scale + (offset + 0.5)).convert("L")


def _keyed(image: Image.Image, key: int | tuple[int, ...]) -> Image.Image:
    image.info = {"transparency": key}
    return image


def _over_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    made = Image.new("RGB", layer.size, "white")
    made.paste(layer, mask=layer.getchannel("A"))
    return made
