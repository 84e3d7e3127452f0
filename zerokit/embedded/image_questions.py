"""What the embedded image model is asked when it is measured, and whether a picture shows what its prompt says.

A picture is right when everything the prompt says is seen on it, and nothing else: each thing with its colour and
shape, the background, and where the prompt names them the place, the side and the size.
"""

from __future__ import annotations

import random
from itertools import product

from PIL import Image

from zerokit.embedded.image_data import BACKGROUNDS, COLOURS, SHAPES
from zerokit.embedded.image_evaluate import Box, background_of, blobs_of, box_of
from zerokit.embedded.image_prompts import PLACES, RELATIONS, Item, Request, Sampler

Asked = tuple[str, Request]
"""A prompt, and what it says."""

_SEED = 1_000_003
"""Draws other wordings than a training does, unless somebody trains with this very seed."""


def _one(shape: str, colour: str, size: str | None = None) -> tuple[Item, ...]:
    return (Item(shape, colour, size),)


_WHERE = {
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
    "centre": "in the centre",
}

UNKNOWN_WORDINGS: tuple[Asked, ...] = (
    ("Please make a picture with a red heart in it", Request(_one("heart", "red"))),
    ("I'd love to see a yellow star on a night-black sky", Request(_one("star", "yellow"), background="black")),
    ("my favourite is the green triangle", Request(_one("triangle", "green"))),
    ("one orange square floating in the middle", Request(_one("square", "orange"), place="centre")),
    ("A tiny, tiny blue circle", Request(_one("circle", "blue", "small"))),
    ("a really big purple diamond", Request(_one("diamond", "purple", "large"))),
    ("logo with a pink heart, background in black", Request(_one("heart", "pink"), background="black")),
    ("brown square painted onto a yellow wall", Request(_one("square", "brown"), background="yellow")),
    ("three red hearts for my friend", Request(_one("heart", "red"), 3)),
    ("two circles, both green", Request(_one("circle", "green"), 2)),
    ("a blue star and also an orange heart", Request((*_one("star", "blue"), *_one("heart", "orange")))),
    ("red square plus blue triangle", Request((*_one("square", "red"), *_one("triangle", "blue")))),
    ("a cyan circle somewhere at the very top", Request(_one("circle", "cyan"), place="top")),
    ("put a gray diamond in the lower right corner", Request(_one("diamond", "gray"), place="bottom right")),
    ("the sky is blue and there is a white star", Request(_one("star", "white"), background="blue")),
    ("pink background, three black stars", Request(_one("star", "black"), 3, background="pink")),
    ("could I have a green heart on an orange background?", Request(_one("heart", "green"), background="orange")),
    ("wallpaper: yellow diamond on purple", Request(_one("diamond", "yellow"), background="purple")),
    ("a triangle, brown", Request(_one("triangle", "brown"))),
    ("square. red. large.", Request(_one("square", "red", "large"))),
)
"""Written by hand in ways that the recipe does not put things."""


def plain() -> list[Asked]:
    """Every shape in every colour, in the plainest words."""
    return [ask(Request(_one(shape, colour))) for colour, shape in product(COLOURS, SHAPES)]


def questions() -> dict[str, list[Asked]]:
    """What the model is asked besides single things, in groups."""
    draws = random.Random(_SEED)
    colours, shapes, sampler = list(COLOURS), list(SHAPES), Sampler(_SEED)

    def item(size: str | None = None) -> Item:
        return Item(draws.choice(shapes), draws.choice(colours), size)

    def pair() -> tuple[Item, Item]:
        (one, two), tints = draws.sample(shapes, 2), draws.sample(colours[:-1], 2)
        return Item(one, tints[0]), Item(two, tints[1])

    grounds = [(colour, ground) for colour, ground in product(colours, BACKGROUNDS) if colour != ground]
    drawn = [sampler.request() for _ in range(300)]
    groups = {
        "backgrounds: every colour on every other": [
            Request(_one(draws.choice(shapes), colour), background=ground) for colour, ground in grounds
        ],
        "two and three of a kind": [
            Request(_one(shape, colour), count) for shape, colour, count in product(shapes, colours, (2, 3))
        ],
        "pairs of different shapes": [Request(pair()) for _ in range(144)],
        "pairs: left of, right of, above, below": [Request(pair(), relation=side) for side in list(RELATIONS) * 18],
        "places": [Request((item(),), place=place) for place in list(PLACES) * 12],
        "sizes": [Request((item(size),)) for size in ("small", "large") * 36],
    }
    asked = {name: [ask(request) for request in requests] for name, requests in groups.items()}
    asked["random prompts in random wordings"] = [(sampler.wording(request), request) for request in drawn]
    asked["wordings that the recipe does not know"] = list(UNKNOWN_WORDINGS)
    return asked


def ask(request: Request) -> Asked:
    """The plainest wording of a request."""
    number = {1: "", 2: "two ", 3: "three "}[request.count]
    names = []
    for item in request.items:
        words = f"{item.size} {item.colour} {item.shape}" if item.size else f"{item.colour} {item.shape}"
        article = "an" if words[0] in "aeiou" else "a"
        names.append(f"{number}{words}s" if number else f"{article} {words}")
    side = {"left of": "to the left of", "right of": "to the right of"}.get(request.relation or "", request.relation)
    text = f" {side or 'and'} ".join(names)
    if request.place:
        text += f" {_WHERE.get(request.place, f'in the {request.place} corner')}"
    return (f"{text} on {request.background}" if request.background else text), request


def shows(image: Image.Image, request: Request) -> bool:
    """Whether a picture shows everything that a request says, and nothing else."""
    blobs = blobs_of(image)
    expected = sorted((item.shape, item.colour) for item in request.items for _ in range(request.count))
    if sorted((blob.shape, blob.colour) for blob in blobs) != expected or background_of(image) != request.ground:
        return False
    spans = _spans(box_of(image), image)
    x, y = ((low + high) / 2 for low, high in spans)
    if request.place and not all(map(_is_at, (x, y), PLACES[request.place])):
        return False
    if request.relation:
        across, down = RELATIONS[request.relation]
        first, second = (
            next(blob.middle for blob in blobs if (blob.shape, blob.colour) == (item.shape, item.colour))
            for item in request.items
        )
        return across * (first[0] - second[0]) + down * (first[1] - second[1]) > 6
    size = request.items[0].size
    extent = max(high - low for low, high in spans)
    return len(blobs) > 1 or size not in ("small", "large") or (extent < 0.36 if size == "small" else extent > 0.45)


def _spans(box: Box, image: Image.Image) -> tuple[tuple[float, float], tuple[float, float]]:
    """From where to where a box reaches, as shares of width and height."""
    return (box[0] / image.width, box[2] / image.width), (box[1] / image.height, box[3] / image.height)


def _is_at(middle: float, step: int) -> bool:
    return abs(middle - 0.5) < 0.13 if step == 0 else step * (middle - 0.5) > 0.06
