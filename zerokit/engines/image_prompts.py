"""From a request to what a pipeline is given: checked and settled before any GPU is asked for."""

from __future__ import annotations

import difflib
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image, ImageOps
from tokenizers import Tokenizer

from zerokit.engines.abilities import Abilities, token_limit
from zerokit.engines.shelf import Adapter, to_load, to_load_of_all
from zerokit.errors import RequestError
from zerokit.requests import MAX_SEED, MAX_SIDE, MIN_SIDE, AdapterChoice, ImageMode, ImageRequest

MAX_PIXELS = 4096 * 4096
"""Of all pictures of one call together."""
MAX_ASPECT = 4.0
"""Where the size follows from a picture, its longer side is at most so many times the shorter one."""
_MASK_TOLERANCE = 0.03
_MODES: dict[ImageMode, str] = {
    "text": "make a picture from a prompt alone",
    "image": "start from a picture",
    "inpaint": "paint a part of a picture anew",
}


@dataclass(frozen=True)
class PreparedImage:
    """One request as the pipeline gets it; picklable, and all that `ImageEngine.generate` needs."""

    request: ImageRequest
    """With width, height, steps, guidance, seed and scheduler settled; picture and mask in that size."""
    notes: tuple[str, ...]
    """What was changed, in words for the visitor."""
    steps_run: int
    """Denoising steps that really run: with a picture to start from, only a part of `request.steps`."""
    passes: int
    """2 where every step runs the denoiser on the prompt and on the negative one, else 1."""
    away: tuple[Adapter, ...] = ()
    """Those of its adapters that may not be loaded where it is made; once they are, they stay for a while."""
    extra: tuple[Adapter, ...] = ()
    """Those that came with the request; they are loaded for this call and removed after it."""

    @property
    def images(self) -> int:
        return self.request.images

    @property
    def megapixels(self) -> float:
        """Of one picture."""
        return (self.request.width or 0) * (self.request.height or 0) / 1e6

    @property
    def chosen(self) -> tuple[AdapterChoice, ...]:
        """The adapters that really act."""
        return tuple(choice for choice in self.request.adapters if choice.weight)

    @property
    def active_adapters(self) -> int:
        return len(self.chosen)

    @property
    def to_load(self) -> float:
        """What may have to be loaded first, in adapters of 100 MB or less."""
        return to_load(self.chosen, (*self.away, *self.extra))


@dataclass(frozen=True)
class PreparedImages:
    """Several requests for one call, such as the same prompt and seed with different adapters."""

    rows: tuple[PreparedImage, ...]

    @property
    def to_load(self) -> float:
        """Of all rows, each adapter once."""
        return to_load_of_all(self.rows)


class ImagePreparer:
    """Settles requests for one model.

    Args:
        abilities: of the model.
        tokenizers: those that read the prompt.
        sequence: how much of a prompt the pipeline reads where its tokenizer sets no limit; None: not known.
        steps_run: from mode, scheduler, steps and strength to the steps that the pipeline runs.
        both_prompts: whether with this guidance every step runs on the negative prompt too.
    """

    def __init__(
        self,
        abilities: Abilities,
        tokenizers: list[Any],
        sequence: int | None,
        *,
        steps_run: Callable[[ImageMode, str, int, float], int],
        both_prompts: Callable[[float | None], bool],
    ) -> None:
        self._abilities = abilities
        limits = [(token_counter(tokenizer), token_limit(tokenizer, sequence)) for tokenizer in tokenizers]
        self._limits = [(count, limit) for count, limit in limits if limit is not None]
        self._steps_run, self._both_prompts = steps_run, both_prompts

    def prepare(self, request: ImageRequest) -> PreparedImage:
        """The request with everything settled.

        Raises:
            RequestError: the model cannot do what is asked.
        """
        self._check(request)
        notes: list[str] = []
        settled = self._settled(self._sized(request, notes))
        steps_run, strength = self._steps(settled)
        both = self._both_prompts(settled.guidance)
        if settled.negative_prompt.strip() and not both:
            notes.append(f"With a guidance of {settled.guidance:g} the negative prompt has no effect.")
        for text, name in ((settled.prompt, "prompt"), (settled.negative_prompt, "negative prompt")):
            if cut := self._cut(text, name):
                notes.append(cut)
        return PreparedImage(replace(settled, strength=strength), tuple(notes), steps_run, 2 if both else 1)

    def _check(self, request: ImageRequest) -> None:
        abilities = self._abilities
        if request.mode not in abilities.modes:
            can = " and ".join(_MODES[mode] for mode in sorted(abilities.modes))
            raise RequestError(f"This model cannot {_MODES[request.mode]}. It can {can}.")
        if request.negative_prompt.strip() and not abilities.negative_prompt:
            raise RequestError("This model takes no negative prompt. Leave it empty.")
        if request.scheduler and request.scheduler not in abilities.schedulers:
            names = {name.lower(): name for name in abilities.schedulers}
            wanted = request.scheduler.lower().removesuffix("scheduler")
            near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)
            hint = f'Did you mean "{names[near[0]]}"?' if near else f"There is {', '.join(abilities.schedulers)}."
            raise RequestError(f'This model has no scheduler "{request.scheduler[:40]}". {hint}')

    def _settled(self, request: ImageRequest) -> ImageRequest:
        abilities = self._abilities
        guidance = abilities.guidance if request.guidance is None else float(request.guidance)
        return replace(
            request,
            steps=request.steps or abilities.steps,
            guidance=None if abilities.guidance is None else guidance,
            seed=secrets.randbelow(MAX_SEED + 1) if request.seed is None else request.seed,
            scheduler=request.scheduler or next(iter(abilities.schedulers), ""),
        )

    def _sized(self, request: ImageRequest, notes: list[str]) -> ImageRequest:
        image = None if request.image is None else upright(request.image)
        mask = None if image is None or request.mask is None else fitting_mask(request.mask, image)
        asked = self._asked_size(request, image)
        width, height = (rounded(side, self._abilities.multiple) for side in asked)
        if (width, height) != asked and (request.width or request.height):
            notes.append(f"The size is {width}x{height}: sides are multiples of {self._abilities.multiple} here.")
        pixels = width * height * request.images
        if pixels > MAX_PIXELS:
            count = "" if request.images == 1 else f"{request.images} times "
            raise RequestError(
                f"{count.capitalize()}{width}x{height} is {pixels / 1e6:.1f} million pixels, and one call makes at "
                f"most {MAX_PIXELS / 1e6:.1f} million."
            )
        if image is not None:
            if (request.width or request.height) and not _same_shape(image.size, (width, height), 0.02):
                notes.append(f"The picture was cut to the shape of {width}x{height}.")
            image = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
        if mask is not None:
            mask = ImageOps.fit(mask, (width, height), Image.Resampling.BILINEAR)
            mask = mask.point([0] * 128 + [255] * 128)
            if mask.getbbox() is None:
                raise RequestError("Nothing is marked: the mask is black everywhere. Paint over what is to change.")
        return replace(request, width=width, height=height, image=image, mask=mask)

    def _asked_size(self, request: ImageRequest, image: Image.Image | None) -> tuple[int, int]:
        own = self._abilities.width, self._abilities.height
        if image is None:
            return request.width or own[0], request.height or own[1]
        if request.width and request.height:
            return request.width, request.height
        ratio = min(MAX_ASPECT, max(1 / MAX_ASPECT, image.width / image.height))
        if request.width:
            return request.width, _side(request.width / ratio)
        if request.height:
            return _side(request.height * ratio), request.height
        area = own[0] * own[1]
        return _side(math.sqrt(area * ratio)), _side(math.sqrt(area / ratio))

    def _steps(self, request: ImageRequest) -> tuple[int, float]:
        """Steps that run, at least one, and the strength that gives them."""
        steps, strength = request.steps or 1, request.strength
        stronger = (1.001 / steps, *(part / 20 for part in range(1, 21)))
        for tried in (strength, *(min(1.0, more) for more in stronger if more > strength)):
            run = self._steps_run(request.mode, request.scheduler, steps, tried)
            if run > 0:
                return run, tried
        raise RequestError(f"{steps} steps are too many for the scheduler {request.scheduler}. Ask for fewer.")

    def _cut(self, text: str, name: str) -> str:
        """What to say of the end of a prompt that no text encoder reads; "" where all of it is read."""
        if not text.strip():
            return ""
        if not self._limits or any(count(text) <= limit for count, limit in self._limits):
            return ""
        words, limit = min((_unread_words(text, count, limit), limit) for count, limit in self._limits)
        if words < 2:
            return f"The end of the {name} was not read: this model reads {limit:,} tokens."
        return f"The last {words:,} words of the {name} were not read: this model reads {limit:,} tokens."


def token_counter(tokenizer: Any) -> Callable[[str], int]:
    """What counts the tokens of a text, from several threads at once."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return lambda text: len(tokenizer(text, truncation=False, verbose=False)["input_ids"])
    # The pipeline changes its own one at every call, and two threads at one may fail ("Already borrowed").
    own = Tokenizer.from_str(backend.to_str())
    own.no_truncation()
    own.no_padding()
    return lambda text: len(own.encode(text).ids)


def _unread_words(text: str, count: Callable[[str], int], limit: int) -> int:
    """How many words at the end of a text are not among its first `limit` tokens."""
    words = text.split()
    low, high = 0, len(words) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count(" ".join(words[:middle])) <= limit else (low, middle - 1)
    return len(words) - low


def rounded(side: int, multiple: int) -> int:
    """The multiple of `multiple` that is nearest to `side` and a size that may be asked for."""
    low, high = math.ceil(MIN_SIDE / multiple), max(math.ceil(MIN_SIDE / multiple), MAX_SIDE // multiple)
    return multiple * min(high, max(low, round(side / multiple)))


def upright(picture: Image.Image, behind: str = "white") -> Image.Image:
    """RGB, turned the way the camera was held, with `behind` where it is transparent."""
    turned = ImageOps.exif_transpose(picture)
    if turned.mode == "RGB":
        return turned
    if turned.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in turned.info:
        clear = turned.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, behind), clear).convert("RGB")
    if turned.mode.startswith("I") or turned.mode == "F":
        return _from_wide(turned)
    return turned.convert("RGB")


def _from_wide(picture: Image.Image) -> Image.Image:
    """From 16 or 32 bits a pixel, which PIL would cut off at 255."""
    extrema: Any = picture.convert("F").getextrema()
    low, high = extrema
    top = 255.0 if low >= 0 and high <= 255 else 65535.0 if low >= 0 and high <= 65535 else max(high, 1.0)
    return picture.convert("F").point(lambda value: value * (255.0 / top)).convert("L").convert("RGB")


def fitting_mask(mask: Image.Image, picture: Image.Image) -> Image.Image:
    """The mask in shades of grey and in the picture's size.

    Raises:
        RequestError: its shape is another than the picture's.
    """
    grey = upright(mask, behind="black").convert("L")
    if not _same_shape(grey.size, picture.size, _MASK_TOLERANCE):
        raise RequestError(
            f"The mask is {grey.width}x{grey.height} and the picture {picture.width}x{picture.height}: "
            "they must have the same shape."
        )
    return grey if grey.size == picture.size else grey.resize(picture.size, Image.Resampling.BILINEAR)


def _same_shape(one: tuple[int, int], other: tuple[int, int], tolerance: float) -> bool:
    a, b = one[0] * other[1], one[1] * other[0]
    return abs(a - b) <= tolerance * max(a, b)


def _side(pixels: float) -> int:
    return min(MAX_SIDE, max(MIN_SIDE, round(pixels)))
