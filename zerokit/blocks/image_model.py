"""An image model without a page: from a request to the work for the GPU, its GPU function, its price, its files."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from zerokit import __version__, control
from zerokit.calls import gpu
from zerokit.calls.image_duration import ImageDuration, ImagesDuration
from zerokit.engines.image import ImageEngine
from zerokit.engines.image_prompts import PreparedImage, PreparedImages
from zerokit.engines.shelf import Adapter
from zerokit.errors import RequestError, ZeroKitError
from zerokit.pictures.record import Record, write_png
from zerokit.requests import MAX_IMAGES, ImageReply, ImageRequest, Picture

FIT_SHARE = 0.5
"""Rather fewer pictures than fewer steps than this share of those asked for."""


@dataclass(frozen=True)
class Fit:
    """The most that a visitor can have of a request that costs more than they have left."""

    steps: int
    images: int


class ImageModel:
    """An engine with its GPU functions, and where the settings start.

    `paint` makes the pictures of one request, `compare` those of several in one call.

    Args:
        engine: the model.
        size: "large", "xlarge" or None (large).
        start: fields of `ImageRequest` that differ from the model's own: width, height, steps, guidance, images,
            negative_prompt; None counts as not given.

    Raises:
        RequestError: a setting is out of range, or the model has no such thing.
    """

    def __init__(self, engine: ImageEngine, *, size: str | None, start: dict[str, Any]) -> None:
        self.engine = engine
        own = engine.abilities
        self.start: dict[str, Any] = {"width": own.width, "height": own.height, "steps": own.steps}
        if own.guidance is not None:
            self.start["guidance"] = own.guidance
        self.start |= {name: value for name, value in start.items() if value is not None}
        self.work(self.request("?", {}))  # an author's mistake is told at once
        self.paint, self.compare = _gpu_functions(engine, size)

    def request(self, prompt: str, settings: dict[str, Any]) -> ImageRequest:
        """What is asked, with the block's own settings where none are given; a picture to start from has its size.

        Raises:
            RequestError: a setting is unknown, of the wrong type or out of range.
        """
        given = {name: value for name, value in settings.items() if value is not None}
        start = self.start
        if "image" in given:
            start = {name: value for name, value in start.items() if name not in ("width", "height")}
        try:
            return ImageRequest(prompt, **{**start, **given})
        except TypeError as exc:
            raise RequestError(f"An image has no such setting: {str(exc).rpartition('argument ')[2]}.") from exc

    def work(self, request: ImageRequest, extra: Sequence[Adapter] = ()) -> PreparedImage:
        """The request as the GPU call gets it: everything settled, checked against what the model can; `extra` adapters
        ride along for those that it names."""
        return self.engine.prepare(request, extra=extra)

    def batch_work(self, requests: Sequence[ImageRequest], extra: Sequence[Adapter] = ()) -> PreparedImages:
        """Several requests for one call."""
        return self.engine.prepare_batch(requests, extra=extra)

    def reserved_s(self, request: ImageRequest, extra: Sequence[Adapter] = ()) -> float | None:
        """Seconds that this request would reserve; None off ZeroGPU."""
        return self.paint.quote(self.work(request, extra)).reserved_s

    def fit(self, request: ImageRequest, left_s: float, extra: Sequence[Adapter] = ()) -> Fit | None:
        """What of the request fits into `left_s` seconds; None: nothing that is worth a run."""
        work = self.work(request, extra)
        asked = work.request.steps or 1
        for least in (max(1, round(FIT_SHARE * asked)), min(ImageDuration.USEFUL_STEPS, asked)):
            for images in range(request.images, 0, -1):
                steps = self._most_steps(work, images, least, left_s)
                if steps is not None:
                    return Fit(steps, images)
        return None

    def _most_steps(self, work: PreparedImage, images: int, least: int, left_s: float) -> int | None:
        asked = work.request.steps or 1

        def fits(steps: int) -> bool:
            run = max(1, round(work.steps_run * steps / asked))
            less = replace(work, request=replace(work.request, steps=steps, images=images), steps_run=run)
            try:
                quote = self.paint.quote(less)
            except ZeroKitError:
                return False
            return not quote.shortened and (quote.reserved_s or 0) <= left_s

        if not fits(least):
            return None
        low, high = least, asked  # a reservation never falls when steps are added
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if fits(middle) else (low, middle - 1)
        return low

    def record(self, work: PreparedImage, reply: ImageReply, picture: Picture) -> Record:
        """How this picture was made."""
        asked = work.request
        return Record(
            prompt=asked.prompt,
            negative_prompt=asked.negative_prompt,
            width=picture.image.width,
            height=picture.image.height,
            steps=asked.steps or 0,
            guidance=asked.guidance,
            seed=picture.seed,
            scheduler=asked.scheduler,
            model=self.engine.name,
            mode=asked.mode,
            strength=None if asked.mode == "text" else asked.strength,
            steps_made=reply.steps if reply.steps != asked.steps else None,
            version=__version__,
            adapters=asked.adapters,
        )

    def save(self, work: PreparedImage, reply: ImageReply, folder: str | Path | None = None) -> list[Path]:
        """Write the pictures as PNG files that say how they were made.

        Args:
            work: what was asked.
            reply: what came of it.
            folder: where to; None: a new one among the temporary files.
        """
        home = Path(folder or tempfile.gettempdir()) / f"zerokit-{uuid.uuid4().hex}"
        home.mkdir(parents=True)
        files = []
        for picture in reply.pictures:
            file = home / f"{_slug(work.request.prompt)}-{picture.seed}.png"
            write_png(picture.image, self.record(work, reply, picture), file)
            files.append(file)
        return files


def blank(width: int, height: int) -> Image.Image:
    """A picture for the price of one that is not there yet."""
    return Image.new("RGB", (width, height))


def most_images() -> int:
    """The most pictures that the page offers in one call."""
    return min(8, MAX_IMAGES)


def _slug(prompt: str) -> str:
    """The prompt's first words, as a file's name has them on any system."""
    words = "".join(sign if sign.isascii() and sign.isalnum() else " " for sign in prompt[:200].lower()).split()
    return "-".join(words)[:40].strip("-") or "picture"


def _gpu_functions(engine: ImageEngine, size: str | None) -> tuple[Any, Any]:
    """The two functions of an image model that run on the GPU: one request, and several."""

    def paint(work: PreparedImage) -> ImageReply:
        return engine.generate(work, control.required())

    def compare(work: PreparedImages) -> list[ImageReply]:
        return engine.generate_batch(work, control.required())

    one = ImageDuration(engine.parameters, engine.packed_bytes, name=f"image/{engine.name}")
    many = ImagesDuration(engine.parameters, engine.packed_bytes, name=f"image batch/{engine.name}")
    return gpu(duration=one, size=size)(paint), gpu(duration=many, size=size)(compare)
