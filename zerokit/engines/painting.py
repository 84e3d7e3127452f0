"""One request on its way through the pipeline: in halves where the memory is small, ended in time, checked."""

from __future__ import annotations

import inspect
import logging
import math
import re
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch

from zerokit.control import Control
from zerokit.engines import decoding
from zerokit.engines.abilities import guidance_parameter
from zerokit.engines.denoising import Denoising, NothingToShow, StartAgain
from zerokit.engines.image_prompts import PreparedImage
from zerokit.engines.memory import free, is_out_of_memory
from zerokit.errors import OutOfMemory
from zerokit.requests import MAX_SEED, Ended, ImageReply, Picture

if TYPE_CHECKING:
    from zerokit.engines.image import ImageEngine

_log = logging.getLogger(__name__)
PREVIEW_EVERY_S = 0.5
PREVIEW_COST = 0.1
"""A look may take this part of the time, not more."""
LEAST_STEPS = 4
"""With less time left than so many steps take, no more pictures are begun."""
LARGE_PIXELS = 1_500_000
"""So many more than the model's own size, and it is decoded in tiles from the start."""


class Painting:
    """The pictures of one request, as they come.

    Args:
        engine: whose modules nobody else uses meanwhile.
        prepared: the request.
        control: the call.
    """

    def __init__(self, engine: ImageEngine, prepared: PreparedImage, control: Control) -> None:
        self._engine, self._prepared, self._control = engine, prepared, control
        self._request = prepared.request
        self._pictures: list[Picture] = []
        self._notes: list[str] = list(prepared.notes)
        self._ended: Ended = "complete"
        self._steps = prepared.steps_run
        self._began = time.monotonic()
        self._step_s = 0.0
        self._fewer_steps = False
        self._next_preview = 0.0
        self._previews = self._request.preview
        own = engine.abilities.width * engine.abilities.height
        self._large = (self._request.width or 0) * (self._request.height or 0) - own >= LARGE_PIXELS

    def run(self) -> ImageReply:
        """All pictures, or those that could be made.

        Raises:
            OutOfMemory: not even one alone fits.
            NonFinite: the model computed NaN or infinity.
        """
        self._control.report(0, self._prepared.steps_run, "Reading")
        seeds = [((self._request.seed or 0) + i) % (MAX_SEED + 1) for i in range(self._request.images)]
        try:
            self._paint(seeds)
        except Exception as exc:
            # What was finished goes out, whatever ends the call.
            if not self._pictures:
                raise
            self._ended = "interrupted"
            self._notes.append(f"{self._count()}: {getattr(exc, 'message', type(exc).__name__)}")
            _log.warning("A part of the pictures failed", exc_info=True)
        if self._ended == "complete" and self._fewer_steps:
            self._ended = "deadline"
        return self._hand_over(self._ended)

    def _paint(self, seeds: list[int]) -> None:
        """Paint the pictures with these seeds together, or in halves where the memory is too small."""
        if self._ended == "complete":
            late = self._pictures and self._control.left_s < LEAST_STEPS * self._step_s
            self._ended = self._control.stop_reason() or ("deadline" if late else "complete")
        if self._ended != "complete":
            return
        try:
            self._together(seeds)
            return
        except RuntimeError as exc:
            if not is_out_of_memory(exc):
                raise
        # Only here, with the exception and the tensors that its traceback held gone, is there memory to free.
        free()
        if len(seeds) > 1:
            middle = (len(seeds) + 1) // 2
            self._paint(seeds[:middle])
            self._paint(seeds[middle:])
            return
        try:
            self._together(seeds, thrifty=True)
        except RuntimeError as exc:
            if is_out_of_memory(exc):
                raise self._too_large(exc) from exc
            raise

    def _together(self, seeds: list[int], *, thrifty: bool = False) -> None:
        steps, again = self._request.steps or 1, True
        run = self._prepared.steps_run
        while True:
            try:
                self._once(seeds, steps, run, may_start_again=again, thrifty=thrifty)
                return
            except StartAgain as exc:
                steps, run, again = *self._fewer(exc.steps), False
            except NothingToShow:
                self._ended = "stopped"
                return

    def _fewer(self, fit: int) -> tuple[int, int]:
        """Steps to ask for so that at most `fit` run, and how many then run: with a picture, not all of them do."""
        request = self._request
        steps = request.steps or 1
        for asked in range(min(steps, math.ceil(fit * steps / self._prepared.steps_run) + 1), fit, -1):
            run = self._engine.steps_run(request.mode, request.scheduler, asked, request.strength)
            if 1 <= run <= fit:
                return asked, run
        return fit, max(1, self._engine.steps_run(request.mode, request.scheduler, fit, request.strength))

    def _once(self, seeds: list[int], steps: int, run: int, *, may_start_again: bool, thrifty: bool) -> None:
        pipe = self._engine.pipeline(self._request.mode, self._request.scheduler)
        part = decoding.decoder(pipe)
        watch = Denoising(
            pipe,
            self._engine.denoiser,
            self._control,
            steps=run,
            share=self._share(len(seeds)),
            whole=self._request.mode == "text",
            may_start_again=may_start_again,
            heavy=self._large or thrifty,
            report=lambda done: self._report(done, run, len(seeds)),
            wants_preview=lambda: self._previews and time.monotonic() >= self._next_preview,
            preview=lambda latents: self._preview(pipe, latents),
        )
        with ExitStack() as stack:
            if self._large or thrifty:
                stack.enter_context(decoding.thrifty(part))
            if thrifty and hasattr(pipe, "enable_attention_slicing"):
                pipe.enable_attention_slicing()
                stack.callback(pipe.disable_attention_slicing)
            stack.enter_context(decoding.guarded(part, lambda: self._report(watch.done, run, len(seeds), "Developing")))
            stack.enter_context(watch.watching())
            made = pipe(**self._arguments(pipe, seeds, steps))
        self._step_s = watch.step_s
        self._steps = min(self._steps, run if watch.ended is None else watch.done)
        self._take(made, seeds)
        if watch.ended == "stopped":
            self._ended = watch.ended
        elif watch.ended is not None or run < self._prepared.steps_run:
            self._fewer_steps = True

    def _share(self, count: int) -> float:
        """Which part of the time left is for the next `count` pictures: those that no time is left for get none."""
        waiting = self._request.images - len(self._pictures)
        if self._step_s > 0 and not math.isinf(self._control.left_s):
            fit = int(self._control.left_s / (LEAST_STEPS * self._step_s)) * count
            waiting = min(waiting, max(count, fit))
        return count / waiting

    def _arguments(self, pipe: Any, seeds: list[int], steps: int) -> dict[str, Any]:
        """What the pipeline's call takes, and nothing else."""
        request = self._request
        takes = inspect.signature(type(pipe).__call__).parameters
        wanted: dict[str, Any] = {
            "prompt": request.prompt,
            "height": request.height,
            "width": request.width,
            "image": request.image,
            "mask_image": request.mask,
            "strength": request.strength,
            "num_inference_steps": steps,
            "num_images_per_prompt": len(seeds),
            "generator": [torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            "output_type": "pt",
            "clean_caption": False,
            "negative_prompt": self._negative(),
        }
        name = guidance_parameter(type(self._engine.pipe))
        if name is not None and request.guidance is not None:
            wanted[name] = request.guidance
        if not self._has_known_bins(pipe):
            wanted["use_resolution_binning"] = False
        if len(seeds) > 1 and "strength" in takes:
            # Each picture is encoded with noise of its own generator, as when it is made alone. With one picture for
            # all, diffusers 0.42 takes the first generator (Flux), or fails (StableDiffusion3Img2ImgPipeline).
            wanted["num_images_per_prompt"] = 1
            for name in ("prompt", "negative_prompt", "image", "mask_image"):
                wanted[name] = None if wanted[name] is None else [wanted[name]] * len(seeds)
        return {name: value for name, value in wanted.items() if name in takes and value is not None}

    def _negative(self) -> str | None:
        """QwenImage and others are guided only where there is a negative prompt, if an empty one."""
        if self._prepared.passes < 2:
            return None
        if self._request.negative_prompt:
            return self._request.negative_prompt
        return " " if guidance_parameter(type(self._engine.pipe)) == "true_cfg_scale" else None

    def _has_known_bins(self, pipe: Any) -> bool:
        """Whether the pipeline has a table of the shapes that this model was trained on."""
        return getattr(self._engine.denoiser.config, "sample_size", None) in (16, 32, 64, 128, 256)

    def _take(self, made: Any, seeds: list[int]) -> None:
        flagged = getattr(made, "nsfw_content_detected", None) or [False] * len(seeds)
        images = decoding.pictures(made.images)
        for image, seed, blacked in zip(images, seeds, flagged, strict=True):
            if image.size != (self._request.width, self._request.height):
                image = image.resize((self._request.width or 0, self._request.height or 0))
            if self._request.mask is not None and self._request.image is not None and not blacked:
                kept = self._request.image.copy()
                kept.paste(image, mask=self._request.mask)
                image = kept
            self._pictures.append(Picture(image, seed, bool(blacked)))
            number = f"Picture {len(self._pictures)}" if self._request.images > 1 else "The picture"
            if blacked:
                self._notes.append(f"{number} was blacked out by the model's safety checker. Try another seed.")
            elif decoding.is_black(image):
                self._notes.append(f"{number} is black everywhere. Try another seed.")
        if len(self._pictures) < self._request.images:
            self._control.report(made=self._reply("interrupted"))

    def _report(self, done: int, run: int, count: int, text: str = "Painting") -> None:
        """In steps of the whole call: a half that is finished is half of them."""
        whole = self._request.images
        steps = (len(self._pictures) + count * done / max(1, run)) / whole * self._prepared.steps_run
        self._control.report(round(steps, 2), self._prepared.steps_run, text)

    def _preview(self, pipe: Any, latents: torch.Tensor) -> None:
        began = time.monotonic()
        try:
            image = decoding.preview(pipe, latents)
        except Exception:  # noqa: BLE001 - a look at what is coming must never cost the picture
            _log.debug("No preview", exc_info=True)
            image = None
        if image is None:
            self._previews = False
            return
        _, progress, _ = self._control.look()
        self._control.report(
            progress.done, progress.total, progress.text, made=self._reply("interrupted", preview=image)
        )
        now = time.monotonic()
        self._next_preview = now + max(PREVIEW_EVERY_S, (now - began) / PREVIEW_COST if PREVIEW_COST else 0.0)

    def _reply(self, ended: Ended, preview: Any = None) -> ImageReply:
        return ImageReply(
            pictures=tuple(self._pictures),
            ended=ended,
            steps=self._steps if self._pictures else 0,
            steps_asked=self._prepared.steps_run,
            seconds=time.monotonic() - self._began,
            notes=tuple(self._notes),
            preview=preview,
        )

    def _count(self) -> str:
        return f"{len(self._pictures)} of {self._request.images} pictures were made"

    def _hand_over(self, ended: Ended) -> ImageReply:
        asked = self._prepared.steps_run
        if ended == "deadline" and not self._pictures:
            self._notes.append("The reserved time ended before a picture could be made.")
        elif ended == "deadline" and self._steps < asked:
            self._notes.append(f"Only {self._steps} of {asked} steps fitted into the reserved time.")
        if ended == "stopped" and self._pictures and self._steps < asked:
            self._notes.append(f"Stopped after {self._steps} of {asked} steps.")
        if ended in ("deadline", "stopped") and 0 < len(self._pictures) < self._request.images:
            self._notes.append(f"{self._count()}.")
        reply = self._reply(ended)
        self._control.report(asked, asked, "Done", made=reply if self._pictures else None)
        return reply

    def _too_large(self, exc: BaseException) -> OutOfMemory:
        asked = re.search(r"allocate ([\d.]+ ?\w+)", str(exc))
        more = f" It asked for {asked.group(1)} more." if asked else ""
        return OutOfMemory(
            f"The memory is too small for one picture of {self._request.width}x{self._request.height}.{more}"
        )
