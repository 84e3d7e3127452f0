"""What a visitor paints in `gr.ImageEditor`, as the picture and the mask of a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageChops

from ..errors import RequestError
from .opening import decoding, has_transparency, open_picture, orientation_of, reading

WHAT = "edited picture"
SHAPE_TOLERANCE = 0.03
"""How much the aspect of a mask may differ from the picture's."""


def painted(value: Any) -> tuple[Image.Image | None, Image.Image | None]:
    """Background and mask from what `gr.ImageEditor(type="pil")` gives.

    Args:
        value: {"background": picture or None, "layers": [pictures], "composite": picture or None}, a picture alone
            (which has no mask), or None. Paths and arrays do as well.

    Returns:
        The background as `open_picture` gives it, and a mask of the same size, mode "L": 255 where any layer was
        painted on (alpha > 0; for a layer without alpha: not black), 0 elsewhere. None for a background that is absent
        or wholly transparent, and for a mask where nothing is painted. A mask without background has the size of its
        first layer.

    Raises:
        RequestError: the background cannot be opened, or the value is none of an editor.
    """
    if value is None:
        return None, None
    if not isinstance(value, Mapping):
        return open_picture(_picture(value)), None
    layers = value.get("layers") or []
    if not isinstance(layers, list | tuple):
        raise RequestError("The layers of an edited picture are a list of pictures.")
    return _painted(value.get("background"), [layer for layer in layers if layer is not None])


def with_mask(image: Any, mask: Any) -> tuple[Image.Image, Image.Image]:
    """Picture and mask that come as two files.

    Args:
        image: as `open_picture` takes it.
        mask: likewise; what is white in it is marked, or, where any of it is transparent, what is not.

    Returns:
        The picture as `open_picture` gives it, and a mask of the same size, mode "L", 255 where it is marked.

    Raises:
        RequestError: one of them cannot be opened, their shapes differ, or nothing is marked.
    """
    with reading(image, "picture") as original:
        turn, lying = orientation_of(original), original.size
        made = open_picture(original)
    with reading(mask, "mask") as layer:
        marked = _set(layer.convert("RGBA").getchannel("A")) if has_transparency(layer) else _bright(layer)
    if turn is not None and not _same_shape(marked.size, made.size) and _same_shape(marked.size, lying):
        marked = marked.transpose(turn)  # made for the picture on its side
    if not _same_shape(marked.size, made.size):
        raise RequestError(
            f"The mask is {marked.width}x{marked.height} and the picture {made.width}x{made.height}: "
            "they must have the same shape."
        )
    marked = _fitted(marked, made.size, None)
    if marked.getbbox() is None:
        raise RequestError("The mask is empty: paint white where the picture shall change.")
    return made, marked


def _same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    a, b = one[0] * other[1], one[1] * other[0]
    return abs(a - b) <= SHAPE_TOLERANCE * max(a, b)


def _bright(layer: Image.Image) -> Image.Image:
    """255 where it is rather white than black; a JPEG's black is not all 0."""
    return open_picture(layer, what="mask").convert("L").point([0] * 128 + [255] * 128)


def _painted(background: Any, layers: list[Any]) -> tuple[Image.Image | None, Image.Image | None]:
    if background is None:
        return None, _union(layers, None, None)
    with reading(_picture(background), WHAT) as original:
        if _is_clear(original):
            return None, _union(layers, original.size, None)
        turn = orientation_of(original)
        turned = None if turn is None else (original.size, turn)
        made = open_picture(original, what=WHAT)
    return made, _union(layers, made.size, turned)


def _picture(value: Any) -> Any:
    if isinstance(value, Image.Image) or not hasattr(value, "__array_interface__"):
        return value
    with decoding(WHAT):
        return Image.fromarray(value)


def _is_clear(image: Image.Image) -> bool:
    """Wholly transparent: the editor's canvas before a picture is chosen."""
    if image.mode not in ("RGBA", "LA"):
        return False
    return image.getchannel("A").getbbox() is None


Turn = tuple[tuple[int, int], Image.Transpose]


def _union(layers: list[Any], size: tuple[int, int] | None, turned: Turn | None) -> Image.Image | None:
    mask: Image.Image | None = None
    for layer in layers:
        with reading(_picture(layer), "painted layer") as image:
            paint = _paint(image)
            paint = _fitted(paint, size or paint.size, turned)
        size = paint.size
        mask = paint if mask is None else ImageChops.lighter(mask, paint)
    return mask if mask is not None and mask.getbbox() else None


def _paint(layer: Image.Image) -> Image.Image:
    """255 where the layer is painted on."""
    if layer.has_transparency_data and has_transparency(layer):
        return _set(layer.convert("RGBA").getchannel("A"))
    red, green, blue = layer.convert("RGB").split()
    bright = _set(ImageChops.lighter(ImageChops.lighter(red, green), blue))
    if layer.has_transparency_data and not bright.getbbox():  # painted all over in black
        return Image.new("L", layer.size, 255)
    return bright


def _set(channel: Image.Image) -> Image.Image:
    return channel.point([0] + [255] * 255)


def _fitted(paint: Image.Image, size: tuple[int, int], turned: Turn | None) -> Image.Image:
    """At the size of the background. Visitors paint on the upright picture; a layer that has the size of the one that
    lies on its side was made for that, and is turned with it."""
    if turned is not None and paint.size != size and paint.size == turned[0]:
        paint = paint.transpose(turned[1])
    if paint.size == size:
        return paint
    return _set(paint.resize(size, Image.Resampling.BOX))  # a box keeps thin strokes, however much it shrinks
