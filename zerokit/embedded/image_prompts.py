"""What people ask the embedded image model for: requests, their wordings in plain English, and scenes that answer them.

A `Request` is what a prompt says. `Sampler.wording` puts it into words, and `Sampler.scene` places its things; what a
request leaves open is drawn at random, but its background: that is white, or black behind something white.
"""

from __future__ import annotations

import random
import string
from dataclasses import dataclass

from zerokit.embedded.image_data import BACKGROUNDS, COLOURS, SHAPES, SIZE, Scene, Thing

PLACES: dict[str, tuple[int, int]] = {
    "left": (-1, 0),
    "right": (1, 0),
    "top": (0, -1),
    "bottom": (0, 1),
    "top left": (-1, -1),
    "top right": (1, -1),
    "bottom left": (-1, 1),
    "bottom right": (1, 1),
    "centre": (0, 0),
}
"""The places a prompt can name: steps to the right, and down."""

RELATIONS: dict[str, tuple[int, int]] = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}
"""Where the first thing of a pair is, seen from the second."""

SIZES = ("small", "medium", "large")
"""The sizes a prompt can name."""

_RADII = {"small": (7.5, 8.5), "medium": (15.0, 17.0), "large": (22.5, 24.5)}
_PLACED = {"small": (7.5, 8.5), "medium": (11.5, 13.0), "large": (17.0, 19.0)}
_OF_PAIR = {"small": (7.0, 7.8), "medium": (10.0, 11.0), "large": (12.2, 13.0)}
_OF_TWO = {"small": (7.0, 7.8), "medium": (10.0, 11.0), "large": (12.2, 13.0)}
_OF_THREE = {"small": (6.2, 6.8), "medium": (7.0, 7.7), "large": (8.0, 8.4)}
_MARGIN = 3.0
_ELSEWHERE = 0.15
"""Of the things without a place so many are not in the middle."""

_COLOUR_WORDS = {"gray": ("gray", "grey"), "purple": ("purple", "purple", "violet"), "cyan": ("cyan", "turquoise")}
_SHAPE_WORDS = {
    "circle": ("circle", "circle", "circle", "disc", "ball", "dot"),
    "square": ("square", "square", "square", "box"),
    "diamond": ("diamond", "diamond", "diamond", "rhombus"),
}
_SIZE_WORDS = {"small": ("small", "little", "tiny"), "large": ("large", "big", "huge"), "medium": ("medium",)}
_COUNT_WORDS = {2: ("two", "2", "a pair of", "two"), 3: ("three", "3")}
_OPENINGS = (
    *("draw", "draw me", "please draw", "paint", "sketch", "make", "create", "generate", "show me", "give me"),
    *("a picture of", "an image of", "a drawing of", "a painting of", "an illustration of", "a photo of", "an icon of"),
    *("draw a picture of", "i want", "i would like", "can you draw", "could you paint", "there is", "imagine"),
)
_STYLES = ("simple", "flat design", "minimalist", "high quality", "4k", "digital art", "clean lines", "vector art")
_PRAISE = ("nice", "beautiful", "pretty", "bright", "simple", "plain", "lovely", "perfect")
_FOREIGN_SHARE = 0.04
"""Of so many prompts one word is made of random letters, so that unknown words do little harm."""
_GROUND_WORDS = ("background", "background", "background", "backdrop", "canvas", "ground")


@dataclass(frozen=True)
class Item:
    """One kind of thing in a request; a `size` of None leaves it open."""

    shape: str
    colour: str
    size: str | None = None


@dataclass(frozen=True)
class Request:
    """What a prompt says: one to three things of a kind, or two of different kinds.

    Args:
        items: one item, or the two of a pair.
        count: how many there are of the first item; 1 in a pair.
        place: one of `PLACES`, or None where the prompt does not say.
        relation: of a pair, one of `RELATIONS`, or None.
        background: one of `BACKGROUNDS`, or None where the prompt does not say.
    """

    items: tuple[Item, ...]
    count: int = 1
    place: str | None = None
    relation: str | None = None
    background: str | None = None

    @property
    def ground(self) -> str:
        """The background that the picture gets."""
        implied = "black" if any(item.colour == "white" for item in self.items) else "white"
        return self.background or implied


class Sampler:
    """Draws requests, wordings and scenes; the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def request(self) -> Request:
        """Draw something to ask for: one thing, two or three of a kind, or a pair."""
        kind = self.random.choices(("one", "two", "three", "pair"), (46, 14, 12, 28))[0]
        items = tuple(self._item() for _ in range(2 if kind == "pair" else 1))
        while len(items) == 2 and items[0].shape == items[1].shape and items[0].colour == items[1].colour:
            items = (items[0], self._item())
        count = {"two": 2, "three": 3}.get(kind, 1)
        place = relation = None
        if kind == "one" and self.random.random() < 0.4:
            place = self.random.choice(list(PLACES))
        elif count > 1 and self.random.random() < 0.2:
            place = self.random.choice(("left", "right", "top", "bottom"))
        elif kind == "pair" and self.random.random() < 0.45:
            relation = self.random.choice(list(RELATIONS))
        return Request(items, count, place, relation, self._background(items))

    def plain(self) -> Request:
        """Draw the simplest thing to ask for: one shape of a colour, its background named or not."""
        items = (Item(self.random.choice(SHAPES), self.random.choice(list(COLOURS))),)
        return Request(items, background=self._background(items))

    def _item(self) -> Item:
        size = self.random.choices((None, "small", "medium", "large"), (55, 20, 5, 20))[0]
        return Item(self.random.choice(SHAPES), self.random.choice(list(COLOURS)), size)

    def _background(self, items: tuple[Item, ...]) -> str | None:
        taken = {item.colour for item in items}
        free = [name for name in BACKGROUNDS if name not in taken]
        ground = self.random.choice(free) if self.random.random() < 0.6 else None
        implied = Request(items).ground
        return self.random.choice(free) if ground is None and implied in taken else ground

    def scene(self, request: Request) -> Scene:
        """Place the things of a request."""
        if len(request.items) == 2:
            things = self._pair(request)
        elif request.count > 1:
            things = self._group(request)
        else:
            things = (self._single(request),)
        return Scene(things, request.ground)

    def _single(self, request: Request) -> Thing:
        """An open place is about the middle; now and then elsewhere, so that any picture can be worked on further."""
        item, uniform = request.items[0], self.random.uniform
        if request.place is None and self.random.random() < _ELSEWHERE:
            radius = uniform(*_PLACED[item.size or self.random.choice(list(_PLACED))])
            reach = SIZE / 2 - _MARGIN - radius
            return self._thing(item, SIZE / 2 + uniform(-reach, reach), SIZE / 2 + uniform(-reach, reach), radius)
        across, down = PLACES[request.place or "centre"]
        radius = uniform(*(_PLACED if across or down else _RADII)[item.size or "medium"])
        reach = SIZE / 2 - _MARGIN - radius
        near = min(2.0, reach / 2)
        x = SIZE / 2 + across * (reach - uniform(0, near)) if across else SIZE / 2 + uniform(-near, near)
        y = SIZE / 2 + down * (reach - uniform(0, near)) if down else SIZE / 2 + uniform(-near, near)
        return self._thing(item, x, y, radius)

    def _group(self, request: Request) -> tuple[Thing, ...]:
        """Two or three in a row, or in a column at the side that is named."""
        item, count = request.items[0], request.count
        radius = self.random.uniform(*(_OF_TWO if count == 2 else _OF_THREE)[item.size or "medium"])
        gap = self.random.uniform(5, max(6.0, min(8.0, (SIZE - 2 * _MARGIN - 2 * count * radius) / (count - 1))))
        step = min(2 * radius + gap, (SIZE - 2 * _MARGIN - 2 * radius) / (count - 1))
        line = [(index - (count - 1) / 2) * step for index in range(count)]
        reach = SIZE / 2 - _MARGIN - radius
        across, down = PLACES[request.place] if request.place else (0, 0)
        spots = [(across * reach, along) if across else (along, down * reach) for along in line]
        return self._at(spots, [item] * count, [radius] * count)

    def _pair(self, request: Request) -> tuple[Thing, ...]:
        """A pair without a relation stands side by side in the order of the words."""
        across, down = RELATIONS[request.relation or "left of"]
        radii = [self.random.uniform(*_OF_PAIR[item.size or "medium"]) for item in request.items]
        room = SIZE - 2 * _MARGIN - sum(radii)
        apart = min(room, sum(radii) + self.random.uniform(5, 8))
        first, second = (radii[0] - radii[1] + apart) / 2, (radii[0] - radii[1] - apart) / 2
        aside = self.random.uniform(-1, 1)
        spots = [(across * place + abs(down) * aside, down * place + abs(across) * aside) for place in (first, second)]
        return self._at(spots, list(request.items), radii)

    def _at(self, spots: list[tuple[float, float]], items: list[Item], radii: list[float]) -> tuple[Thing, ...]:
        """Move all together a little, as far as the edges allow."""
        moves = []
        for axis in (0, 1):
            low = max(_MARGIN + radius - SIZE / 2 - spot[axis] for spot, radius in zip(spots, radii, strict=True))
            high = min(SIZE / 2 - _MARGIN - radius - spot[axis] for spot, radius in zip(spots, radii, strict=True))
            moves.append(self.random.uniform(max(low, -2.0), max(min(high, 2.0), max(low, -2.0))))
        middle = [(SIZE / 2 + x + moves[0], SIZE / 2 + y + moves[1]) for x, y in spots]
        return tuple(self._thing(item, x, y, radius) for item, (x, y), radius in zip(items, middle, radii, strict=True))

    @staticmethod
    def _thing(item: Item, x: float, y: float, radius: float) -> Thing:
        return Thing(item.shape, item.colour, round(x, 1), round(y, 1), round(radius, 1))

    def wording(self, request: Request) -> str:
        """Put a request into words."""
        choice = self.random.choice
        article = self.random.random() < 0.65
        names = [self._name(item, request.count, article) for item in request.items]
        text = names[0] if len(names) == 1 else self._joined(names, request.relation)
        if request.place:
            text += self._placed(request.place)
        if request.background:
            colour = self._word(_COLOUR_WORDS, request.background)
            first, text = self._grounded(text, colour)
        else:
            first = False
        if not first and self.random.random() < 0.35:
            text = f"{choice(_OPENINGS)} {text}"
        if self.random.random() < 0.06:
            text += f", {choice(_STYLES)}"
        if self.random.random() < _FOREIGN_SHARE:
            text = self._with_foreign_word(text)
        text += choice(("", "", "", "", "", "", ".", "!", " please", ", please"))
        return choice((text, text, text.capitalize(), text.upper())) if self.random.random() < 0.2 else text

    def _name(self, item: Item, count: int, article: bool) -> str:
        shape, colour = self._word(_SHAPE_WORDS, item.shape), self._word(_COLOUR_WORDS, item.colour)
        size = self._word(_SIZE_WORDS, item.size) if item.size else ""
        if count > 1:
            shape = {"box": "boxes", "rhombus": "rhombuses"}.get(shape, f"{shape}s")
        order = self.random.random()
        words = [size, colour, shape] if order < 0.88 else [colour, size, shape]
        if order > 0.95:
            words = [size, shape, f"{self.random.choice(('in', 'that is' if count == 1 else 'that are'))} {colour}"]
        if self.random.random() < 0.04:
            words.insert(0, self.random.choice(_PRAISE))
        name = " ".join(word for word in words if word)
        if count > 1:
            return f"{self.random.choice(_COUNT_WORDS[count])} {name}"
        if not article:
            return name
        indefinite = "an" if name[0] in "aeiou" else "a"
        return f"{self.random.choices((indefinite, 'one', 'the', 'a single'), (88, 5, 5, 2))[0]} {name}"

    def _with_foreign_word(self, text: str) -> str:
        words = text.split(" ")
        letters = self.random.choices(string.ascii_lowercase, k=self.random.randint(2, 8))
        words.insert(self.random.randint(0, len(words)), "".join(letters))
        return " ".join(words)

    def _joined(self, names: list[str], relation: str | None) -> str:
        if relation is None:
            return self.random.choice((" and ", " and ", " and ", " next to ", " with ", ", ", " beside ")).join(names)
        words = {
            "left of": ("left of", "to the left of", "on the left of"),
            "right of": ("right of", "to the right of", "on the right of"),
            "above": ("above", "over", "on top of"),
            "below": ("below", "under", "beneath"),
        }[relation]
        return f"{names[0]} {self.random.choice(words)} {names[1]}"

    def _placed(self, place: str) -> str:
        across, down = PLACES[place]
        if across and down:
            first = place.replace("top", "upper").replace("bottom", "lower") if self.random.random() < 0.25 else place
            return self.random.choice((f" in the {first} corner", f" in the {first}", f" at the {first}", f", {first}"))
        if across:
            return self.random.choice((f" on the {place}", f" on the {place} side", f" at the {place}", f", {place}"))
        if down:
            return self.random.choice((f" at the {place}", f" on the {place}", f" near the {place}", f", {place}"))
        centre = self.random.choice(("centre", "center", "middle"))
        return self.random.choice((f" in the {centre}", f" at the {centre}", f", {centre}"))

    def _grounded(self, text: str, colour: str) -> tuple[bool, str]:
        """Add the background; the first of the result says whether it opens the sentence."""
        ground = self.random.choice(_GROUND_WORDS)
        article = "an" if colour[0] in "aeiou" else "a"
        behind = (
            *(f"{text} on {article} {colour} {ground}",) * 4,
            *(f"{text} on {colour}",) * 2,
            *(f"{text}, {colour} background",) * 2,
            f"{text} on {colour} {ground}",
            f"{text} against {article} {colour} {ground}",
            f"{text} with {article} {colour} {ground}",
            f"{text} over {article} {colour} {ground}",
            f"{text} in front of {article} {colour} {ground}",
            f"{text}, the background is {colour}",
        )
        if self.random.random() < 0.08:
            return True, self.random.choice(
                (f"on {article} {colour} {ground}, {text}", f"{colour} {ground} with {text}")
            )
        return False, self.random.choice(behind)

    def _word(self, words: dict[str, tuple[str, ...]], name: str) -> str:
        return self.random.choice(words.get(name, (name,)))
