"""Looks at a picture and says what is on it: colours, shapes, how many, where, and the background.

Nothing is learnt here: a pixel has the nearest of the twelve colours, and a blob the shape that covers it best. On
the pictures that the recipe draws it is always right; what the model makes of prompts is measured with it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from zerokit.embedded.image_data import BACKGROUNDS, COLOURS, SHAPES, outline

Pixels = NDArray[np.float32]
Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]

_APART = 34.0
"""A pixel this far from the background, of 441, is something; yellow and orange are 78 apart."""
_SPECK = 0.003
"""Blobs smaller than this share of a picture do not count."""
_GRID = 48
_SMOOTH = Image.Resampling.BILINEAR


@dataclass(frozen=True)
class Blob:
    """One connected thing in a picture.

    Args:
        colour: one of `COLOURS`.
        shape: one of `SHAPES`.
        box: left, top, right and bottom in pixels; right and bottom are the first pixels outside.
        area: its pixels.
    """

    colour: str
    shape: str
    box: Box
    area: int

    @property
    def middle(self) -> tuple[float, float]:
        """The middle of its box, in pixels from the left and from the top."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2


def colour_of(image: Image.Image) -> str:
    """The name of the colour that covers most of what is not background.

    Raises:
        ValueError: there is nothing but background.
    """
    areas: Counter[str] = Counter()
    for blob in _something(image):
        areas[blob.colour] += blob.area
    return areas.most_common(1)[0][0]


def shape_of(image: Image.Image) -> str:
    """The shape of the largest thing in a picture.

    Raises:
        ValueError: there is nothing but background.
    """
    return max(_something(image), key=lambda blob: blob.area).shape


def background_of(image: Image.Image) -> str:
    """The name of the colour along the edges of a picture."""
    return _background(_pixels(image))[0]


def count_of(image: Image.Image) -> int:
    """How many things a picture shows."""
    return len(blobs_of(image))


def box_of(image: Image.Image) -> Box:
    """The box around all that is not background: left, top, and the first pixel to the right and below.

    Raises:
        ValueError: there is nothing but background.
    """
    lefts, tops, rights, bottoms = zip(*(blob.box for blob in _something(image)), strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def blobs_of(image: Image.Image) -> list[Blob]:
    """All things in a picture, those on the left first."""
    pixels = _pixels(image)
    ground = _background(pixels)[1]
    something = np.linalg.norm(pixels - ground, axis=-1) > _APART
    blobs = [_blob(pixels, ground, part) for part in _parts(something)]
    return sorted(blobs, key=lambda blob: blob.middle)


def _something(image: Image.Image) -> list[Blob]:
    blobs = blobs_of(image)
    if not blobs:
        raise ValueError("The picture shows nothing but its background.")
    return blobs


def _pixels(image: Image.Image) -> Pixels:
    return np.asarray(image.convert("RGB"), dtype=np.float32)


def _nearest(pixels: Pixels, palette: dict[str, tuple[int, int, int]]) -> str:
    """The colour that most of the pixels are nearest to; pixels are rows of red, green, blue."""
    distances = np.linalg.norm(pixels[:, None] - np.array(list(palette.values()), dtype=np.float32), axis=-1)
    return list(palette)[int(np.bincount(distances.argmin(axis=1)).argmax())]


def _background(pixels: Pixels) -> tuple[str, Pixels]:
    """Name and level of the background, from a frame two pixels wide."""
    frame = np.concatenate([edge.reshape(-1, 3) for edge in (pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:])])
    name = _nearest(frame, BACKGROUNDS)
    near = np.linalg.norm(frame - np.array(BACKGROUNDS[name]), axis=-1)
    return name, np.median(frame[near <= np.median(near)], axis=0)


def _parts(mask: Mask) -> list[Mask]:
    """The connected parts of a mask that are large enough to count.

    Every pixel takes the highest number among its neighbours until nothing changes: the time does not depend on how
    many specks there are.
    """
    numbers = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        padded = np.pad(numbers, 1)
        sides = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
        highest = np.where(mask, np.maximum.reduce([numbers, *sides]), 0)
        if (highest == numbers).all():
            break
        numbers = highest
    sizes = np.bincount(numbers.ravel())
    sizes[0] = 0
    return [numbers == number for number in np.flatnonzero(sizes >= _SPECK * mask.size)]


def _grown(mask: Mask) -> Mask:
    """A mask with the neighbours above, below, left and right of its pixels."""
    padded = np.pad(mask, 1)
    return mask | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]


def _blob(pixels: Pixels, ground: Pixels, part: Mask) -> Blob:
    """Measure one part: edges are mixtures, so its colour is that of its inside, and its border is where half is it."""
    inside = ~_grown(~np.pad(part, 1))[1:-1, 1:-1]
    rows = pixels[inside if inside.any() else part]
    colour = _nearest(rows, COLOURS)
    near = np.linalg.norm(rows - np.array(COLOURS[colour]), axis=-1)
    step = np.median(rows[near <= np.median(near)], axis=0) - ground
    share = np.clip((pixels - ground) @ step / max(1.0, float(step @ step)), 0, 1) * part
    solid = share > 0.5 if (share > 0.5).any() else part
    return Blob(colour, _shape(share), _box(solid), int(solid.sum()))


def _box(mask: Mask) -> Box:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _shape(share: Pixels) -> str:
    """The shape that overlaps best, stretched to the same box: a narrow one, or one with pixels at its edges."""
    boxes = {_box(share >= level) for level in (0.15, 0.5) if (share >= level).any()}
    picture = Image.fromarray(share.astype(np.float32))
    seen = [np.asarray(picture.resize((_GRID, _GRID), _SMOOTH, box)) for box in boxes]

    def overlap(shape: str) -> float:
        template = _template(shape)
        return max(float(np.minimum(each, template).sum() / np.maximum(each, template).sum()) for each in seen)

    return max(SHAPES, key=overlap)


@cache
def _template(shape: str) -> Pixels:
    """A shape that fills a grid: 1 where it is, 0 where not."""
    xs, ys = zip(*outline(shape), strict=True)
    scale = 4 * _GRID
    corners = [
        (scale * (x - min(xs)) / (max(xs) - min(xs)), scale * (y - min(ys)) / (max(ys) - min(ys)))
        for x, y in zip(xs, ys, strict=True)
    ]
    large = Image.new("L", (scale, scale))
    ImageDraw.Draw(large).polygon(corners, fill=255)
    return np.asarray(large.reduce(4), dtype=np.float32) / np.float32(255)
