"""`/generate`: pictures for programs, through gradio_client, REST and MCP."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from zerokit.blocks import canvas
from zerokit.blocks.diffusion_page import whole as whole_number
from zerokit.blocks.endpoint import document
from zerokit.blocks.image_model import ImageModel
from zerokit.blocks.visitor import left_s
from zerokit.calls import Outcome, to_gradio
from zerokit.errors import RequestError, ZeroKitError
from zerokit.pictures.mask import with_mask
from zerokit.pictures.opening import open_picture
from zerokit.quota import hub
from zerokit.requests import ImageReply


def add_endpoint(model: ImageModel) -> None:
    """Add the endpoint to the Blocks that are open: components that are not shown, so that files go Gradio's way."""
    with gr.Row(visible=False):
        whole = partial(gr.Number, precision=0)
        inputs = [
            gr.Textbox(),
            gr.Textbox(""),
            whole(None),
            whole(None),
            whole(1),
            whole(None),
            gr.Number(None),
            whole(None),
            gr.Textbox(""),
            gr.File(),
            gr.File(),
            gr.Number(0.6),
        ]
        for component in inputs:
            if isinstance(component, gr.Number):  # Gradio rounds, and fails without a word on what is no number
                component.preprocess = whole_number
        outputs = [gr.Gallery(label="Pictures", format="png"), gr.JSON(label="Details")]
        button = gr.Button("Generate")
    generate = _endpoint(model, outputs[0])
    event = button.click(generate, inputs, outputs, api_name="generate", concurrency_limit=None, show_progress="hidden")
    document(event)


def _endpoint(model: ImageModel, gallery: gr.Gallery) -> Any:
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
        given = {
            "negative_prompt": negative_prompt or None,
            "width": width,
            "height": height,
            "images": images,
            "steps": steps,
            "guidance": guidance,
            "seed": seed,
            "scheduler": scheduler or None,
            "strength": strength,
        }
        try:
            given |= _pictures(image, mask)
            work = model.work(model.request(prompt, given))
        except ZeroKitError as exc:
            raise to_gradio(exc) from exc
        try:
            outcome = model.paint.within(left_s(token)).outcome(work)
        finally:
            hub.forget(token.token if token else None)
        reply = outcome.value if isinstance(outcome.value, ImageReply) else ImageReply((), ended=outcome.ended)
        files = model.save(work, reply, gallery.GRADIO_CACHE)
        captions = [canvas.caption(picture.seed, flagged=picture.flagged) for picture in reply.pictures]
        return list(zip(map(str, files), captions, strict=True)), _details(reply, outcome)

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


def _details(reply: ImageReply, outcome: Outcome) -> dict[str, Any]:
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
