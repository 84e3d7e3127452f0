"""The pictures of the embedded image model: coloured shapes on a plain background, drawn with PIL.

A `Scene` says what is where, and `draw` makes the picture. What people ask for, and which scenes answer it, is in
`image_prompts`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw

SIZE = 64
"""Width and height of a picture in pixels."""

_FINER = 4
"""Edges are smooth because a picture is drawn this many times as large first."""

Point = tuple[float, float]

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "orange": (250, 145, 30),
    "yellow": (250, 220, 50),
    "green": (40, 155, 70),
    "cyan": (70, 205, 220),
    "blue": (40, 80, 215),
    "purple": (135, 50, 180),
    "pink": (250, 150, 195),
    "brown": (125, 75, 35),
    "gray": (140, 140, 145),
    "black": (20, 20, 25),
    "white": (250, 250, 250),
}

BACKGROUNDS: dict[str, tuple[int, int, int]] = dict(COLOURS)

SHAPES: tuple[str, ...] = ("circle", "square", "triangle", "star", "diamond", "heart")


@dataclass(frozen=True)
class Thing:
    """One shape in a picture.

    Args:
        shape: one of `SHAPES`.
        colour: one of `COLOURS`.
        x: the middle, in pixels from the left.
        y: the middle, in pixels from the top.
        radius: half of its extent, in pixels.
    """

    shape: str
    colour: str
    x: float = SIZE / 2
    y: float = SIZE / 2
    radius: float = 16.0


STYLES = ("flat", "outline", "pastel")
"""How a scene can be drawn: filled, as lines, or in soft colours. The model draws flat, its adapters the others."""

_LINE = 3.5
"""The width of an outline, in pixels."""
_SOFTER = 0.55
"""How far pastel colours are on their way to white."""


@dataclass(frozen=True)
class Scene:
    """A picture in words: its things, and the name of its background."""

    things: tuple[Thing, ...]
    background: str = "white"


def draw(scene: Scene, style: str = "flat") -> Image.Image:
    """Draw a scene.

    Args:
        scene: what is where.
        style: one of `STYLES`.

    Returns:
        An RGB picture of 64 x 64 pixels.

    Examples:
        >>> draw(Scene((Thing("star", "red"),), "black")).size
        (64, 64)
    """
    large = Image.new("RGB", (SIZE * _FINER, SIZE * _FINER), _tone(scene.background, style))
    brush = ImageDraw.Draw(large)
    for thing in scene.things:
        corners = [
            (_FINER * (thing.x + thing.radius * x), _FINER * (thing.y + thing.radius * y))
            for x, y in outline(thing.shape)
        ]
        tone = _tone(thing.colour, style)
        if style == "outline":
            brush.line([*corners, *corners[:2]], fill=tone, width=round(_FINER * _LINE), joint="curve")
        else:
            brush.polygon(corners, fill=tone)
    return large.reduce(_FINER)


def _tone(colour: str, style: str) -> tuple[int, int, int]:
    red, green, blue = COLOURS[colour]
    if style != "pastel":
        return red, green, blue
    return soft(red), soft(green), soft(blue)


def soft(level: int) -> int:
    """What pastel makes of a level of red, green or blue, from 0 to 255."""
    return round(level + _SOFTER * (255 - level))


@cache
def outline(shape: str) -> tuple[Point, ...]:
    """The corners of a shape around the origin, none farther than about 1 to any side; y points down."""
    match shape:
        case "circle":
            return _ring(96)
        case "square":
            return ((-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85))
        case "triangle":
            return ((0.0, -0.9), (1.0, 0.85), (-1.0, 0.85))
        case "star":
            return tuple((x * r, y * r + 0.08) for (x, y), r in zip(_ring(10), (1.08, 0.45) * 5, strict=True))
        case "diamond":
            return ((0.0, -1.0), (0.72, 0.0), (0.0, 1.0), (-0.72, 0.0))
        case "heart":
            return tuple(_heart(2 * math.pi * step / 96) for step in range(96))
    raise ValueError(f"Nobody taught the recipe to draw a {shape!r}. It knows {', '.join(SHAPES)}.")


def _ring(count: int) -> tuple[Point, ...]:
    """Points on the unit circle, clockwise from the top."""
    angles = [2 * math.pi * step / count for step in range(count)]
    return tuple((math.sin(angle), -math.cos(angle)) for angle in angles)


def _heart(angle: float) -> Point:
    """A point of the heart curve (https://mathworld.wolfram.com/HeartCurve.html), scaled and moved to the middle."""
    x = 16 * math.sin(angle) ** 3
    y = 13 * math.cos(angle) - 5 * math.cos(2 * angle) - 2 * math.cos(3 * angle) - math.cos(4 * angle)
    return x / 16, -(y + 2.5) / 15.5
