"""`/generate`: pictures for programs, through gradio_client, REST and MCP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import gradio as gr

from zerokit.blocks import canvas
from zerokit.blocks.diffusion_page import whole as whole_number
from zerokit.blocks.endpoint import document
from zerokit.blocks.image_model import ImageModel
from zerokit.blocks.visitor import left_s
from zerokit.calls import Outcome, to_gradio
from zerokit.engines.image_prompts import PreparedImage
from zerokit.errors import RequestError, ZeroKitError
from zerokit.pictures.mask import with_mask
from zerokit.pictures.opening import open_picture
from zerokit.quota import hub
from zerokit.requests import ImageReply


def add_endpoint(model: ImageModel) -> None:
    """Add the endpoint to the Blocks that are open."""
    add(lambda gallery: _generate(model, gallery), fields())


def fields() -> list[gr.components.Component]:
    """Components for the parameters that every endpoint for images has, in the order of `given`."""
    whole = partial(gr.Number, precision=0, render=False)
    inputs: list[gr.components.Component] = [
        gr.Textbox("", render=False),
        whole(None),
        whole(None),
        whole(1),
        whole(None),
        gr.Number(None, render=False),
        whole(None),
        gr.Textbox("", render=False),
        gr.File(render=False),
        gr.File(render=False),
        gr.Number(0.6, render=False),
    ]
    for component in inputs:
        if isinstance(component, gr.Number):  # Gradio rounds, and fails without a word on what is no number
            component.preprocess = whole_number
    return inputs


def add(
    make: Callable[[gr.Gallery], Callable[..., Any]],
    inputs: Sequence[gr.components.Component],
    schemas: dict[str, dict[str, Any]] | None = None,
) -> None:
    """Add an endpoint: components that are not shown, so that files go Gradio's way.

    Args:
        make: from the gallery that it fills to its function, which has its name and says what its parameters are.
        inputs: for the parameters after the prompt.
        schemas: JSON schemas of those that say more than their types.
    """
    with gr.Row(visible=False):
        prompt = gr.Textbox()
        for component in inputs:
            component.render()
        outputs = [gr.Gallery(label="Pictures", format="png"), gr.JSON(label="Details")]
        button = gr.Button("Generate")
    function = make(outputs[0])
    event = button.click(
        function,
        [prompt, *inputs],
        outputs,
        api_name=function.__name__,
        concurrency_limit=None,
        show_progress="hidden",
    )
    document(event, schemas=schemas)


def given(*values: Any) -> dict[str, Any]:
    """The parameters of an endpoint as fields of a request, the pictures opened and checked."""
    names = ("negative_prompt", "width", "height", "images", "steps", "guidance", "seed", "scheduler")
    *plain, image, mask, strength = values
    asked = {name: None if value == "" else value for name, value in zip(names, plain, strict=True)}
    return {**asked, "strength": strength, **_pictures(image, mask)}


def painted(
    model: ImageModel, work: PreparedImage, token: gr.OAuthToken | None, gallery: gr.Gallery
) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    """Make the pictures of one request; what the endpoint answers."""
    outcome = model.paint.within(left_s(token)).outcome(work)
    reply = outcome.value if isinstance(outcome.value, ImageReply) else ImageReply((), ended=outcome.ended)
    files = model.save(work, reply, gallery.GRADIO_CACHE)
    captions = [canvas.caption(picture.seed, flagged=picture.flagged) for picture in reply.pictures]
    return list(zip(map(str, files), captions, strict=True)), details(reply, outcome)


@contextmanager
def answering(token: gr.OAuthToken | None) -> Iterator[None]:
    """An endpoint's work: errors as a program gets them, and what is left is asked for anew after it."""
    try:
        yield
    except ZeroKitError as exc:
        raise to_gradio(exc) from exc
    finally:
        hub.forget(token.token if token else None)


def _generate(model: ImageModel, gallery: gr.Gallery) -> Callable[..., Any]:
    def generate(
        prompt: str,
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
    ) -> tuple[list[tuple[str, str]], dict[str, Any]]:
        """Make pictures from a prompt, from a picture, or in a part of one.

        Args:
            prompt: What is to be seen.
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
            return painted(model, model.work(model.request(prompt, asked)), token, gallery)

    return generate


def _pictures(image: str | None, mask: str | None) -> dict[str, Any]:
    """The files that came, opened and checked, as fields of a request."""
    if image is None:
        if mask is not None:
            raise RequestError("A mask needs the picture that it belongs to.")
        return {}
    if mask is None:
        return {"image": open_picture(image)}
    background, marked = with_mask(image, mask)
    return {"image": background, "mask": marked}


def details(reply: ImageReply, outcome: Outcome) -> dict[str, Any]:
    """What is said beside the pictures."""
    width, height = reply.pictures[0].image.size if reply.pictures else (None, None)
    return {
        "seeds": [picture.seed for picture in reply.pictures],
        "width": width,
        "height": height,
        "steps": reply.steps,
        "ended": reply.ended if outcome.ended == "complete" else outcome.ended,
        "notes": list(reply.notes),
        "flagged": [picture.flagged for picture in reply.pictures],
        "seconds": round(reply.seconds, 3),
        "reserved_s": outcome.usage.reserved_s,
        "used_s": round(outcome.usage.used_s, 3),
    }
