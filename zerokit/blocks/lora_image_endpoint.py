"""`/generate` and `/compare` of an image model with adapters, for programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from zerokit.blocks import canvas
from zerokit.blocks.adapter_choice import Chosen, chosen
from zerokit.blocks.adapter_part import AdapterPart
from zerokit.blocks.image_adapters import acting, side_by_side
from zerokit.blocks.image_endpoint import add, answering, details, fields, given, painted
from zerokit.blocks.image_model import ImageModel
from zerokit.blocks.lora_endpoint import adapters_schema, brought, told
from zerokit.blocks.visitor import left_s
from zerokit.requests import ImageReply

Answer = tuple[list[tuple[str, str]], dict[str, Any]]


def add_endpoints(model: ImageModel, part: AdapterPart) -> None:
    """Add both to the Blocks that are open, with the adapters' names in their schemas."""
    names, custom = [adapter.name for adapter in part.engine.adapters], part.guests is not None
    schemas = {"adapters": adapters_schema(names, custom=custom)}
    for maker in (_generate, _compare):

        def make(gallery: gr.Gallery, maker: Any = maker) -> Callable[..., Answer]:
            function: Callable[..., Answer] = maker(model, part, gallery)
            function.__doc__ = (function.__doc__ or "").replace("NAMES", told(names, custom=custom))
            return function

        more = fields()
        if maker is _compare:
            del more[3]  # how many: one of each
        add(make, [gr.JSON(render=False), *more], schemas)


def _generate(model: ImageModel, part: AdapterPart, gallery: gr.Gallery) -> Callable[..., Answer]:
    def generate(
        prompt: str,
        adapters: list[str] | dict[str, float] | None = None,
        negative_prompt: str = "",
        width: int | None = None,
        height: int | None = None,
        images: int = 1,
        steps: int | None = None,
        guidance: float | None = None,
        seed: int | None = None,
        scheduler: str = "",
        image: str | None = None,
        mask: str | None = None,
        strength: float = 0.6,
        token: gr.OAuthToken | None = None,
    ) -> Answer:
        """Make pictures with the adapters that are named and no others; from a picture, or in a part of one.

        Args:
            prompt: What is to be seen.
            adapters: Names, or an object of weights (-4 to 4) by name. Default: none. There are: NAMES.
            negative_prompt: What is not to be seen; only for models that take one.
            width: Pixels. Default: the model's own.
            height: Pixels. Default: the model's own.
            images: How many pictures to make in one run of quota.
            steps: Denoising steps. Default: the model's own.
            guidance: How closely the prompt is followed. Default: the model's own.
            seed: A whole number for the same picture again. Default: another each time.
            scheduler: One of the model's schedulers. Default: its own.
            image: A picture to start from.
            mask: With image: white where it is painted anew, black where it stays.
            strength: How much of the image may change, 0.01 to 1.

        Returns:
            The pictures as PNG files, and an object with seeds, width, height, steps, ended (complete, deadline,
            stopped or interrupted), notes, seconds, reserved_s and used_s of the GPU.
        """
        with answering(token):
            asked = given(
                negative_prompt, width, height, images, steps, guidance, seed, scheduler, image, mask, strength
            )
            with brought(part, adapters) as own:
                choice = _chosen(part, adapters, own)
                work = model.work(acting(model.request(prompt, asked), choice), choice.extra)
                return painted(model, work, token, gallery)

    return generate


def _compare(model: ImageModel, part: AdapterPart, gallery: gr.Gallery) -> Callable[..., Answer]:
    def compare(
        prompt: str,
        adapters: list[str] | dict[str, float] | None = None,
        negative_prompt: str = "",
        width: int | None = None,
        height: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        seed: int | None = None,
        scheduler: str = "",
        image: str | None = None,
        mask: str | None = None,
        strength: float = 0.6,
        token: gr.OAuthToken | None = None,
    ) -> Answer:
        """Make one picture with the base model and one with each adapter alone, all with one seed, in one run of quota.

        Args:
            prompt: What is to be seen.
            adapters: Names, or an object of weights (-4 to 4) by name. Default: all, which are: NAMES.
            negative_prompt: What is not to be seen; only for models that take one.
            width: Pixels. Default: the model's own.
            height: Pixels. Default: the model's own.
            steps: Denoising steps. Default: the model's own.
            guidance: How closely the prompt is followed. Default: the model's own.
            seed: A whole number for the same pictures again. Default: another each time.
            scheduler: One of the model's schedulers. Default: its own.
            image: A picture to start from.
            mask: With image: white where it is painted anew, black where it stays.
            strength: How much of the image may change, 0.01 to 1.

        Returns:
            The pictures as PNG files, the base's first, and an object with pictures (each with adapter, weight, steps,
            ended and notes; the base's has an empty adapter), seed, ended, reserved_s and used_s of the GPU.
        """
        if adapters is None:
            adapters = [adapter.name for adapter in part.engine.adapters]
        with answering(token):
            asked = given(negative_prompt, width, height, 1, steps, guidance, seed, scheduler, image, mask, strength)
            with brought(part, adapters) as own:
                choice = _chosen(part, adapters, own)
                work = model.batch_work(side_by_side(model.request(prompt, asked), choice), choice.extra)
                outcome = model.compare.within(left_s(token)).outcome(work)
        files, said = [], []
        replies: list[ImageReply] = outcome.value if isinstance(outcome.value, list) else []
        for one, row, reply in zip(choice.compared(), work.rows, replies, strict=False):
            for file, picture in zip(model.save(row, reply, gallery.GRADIO_CACHE), reply.pictures, strict=True):
                files.append((str(file), f"{one.shown} · {canvas.caption(picture.seed, flagged=picture.flagged)}"))
                (acts,) = one.choices or (None,)
                here = {"adapter": acts.name if acts else "", "weight": acts.weight if acts else 0}
                said.append({**here, "steps": reply.steps, "ended": reply.ended, "notes": list(reply.notes)})
        settled = details(ImageReply((), ended=outcome.ended), outcome)
        shown = {name: settled[name] for name in ("ended", "reserved_s", "used_s")}
        return files, {"pictures": said, "seed": work.rows[0].request.seed, **shown}

    return compare


def _chosen(part: AdapterPart, adapters: Any, own: list[Any]) -> Chosen:
    return chosen(adapters, part.engine.adapters, tuple(guest.adapter for guest in own))
