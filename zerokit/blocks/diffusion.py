"""`ZeroDiffusion`: an image model as a page, an API and a Python object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from zerokit.blocks.diffusion_page import Page
from zerokit.blocks.diffusion_studio import connect
from zerokit.blocks.image_endpoint import add_endpoint
from zerokit.blocks.image_model import ImageModel
from zerokit.blocks.waiting import let_wait
from zerokit.engines.image import ImageEngine
from zerokit.requests import ImageReply

_DAY_S = 86_400


class ZeroDiffusion(gr.Blocks):  # type: ignore[misc]
    """An image Space: a `gr.Blocks` with a model behind it.

    Make it at module level, where ZeroGPU can capture the weights, and `launch()` it or nest it in other Blocks. What
    the model cannot do (a negative prompt, starting from a picture, guidance) is not on the page.

    Args:
        model: a diffusers pipeline on the Hub or in a folder, "embedded" for the small one that comes with ZeroKit, or
            an `ImageEngine`.
        title: above the page; None: the model's name.
        description: below the title; Markdown.
        examples: prompts to click.
        negative_prompt: to begin with.
        width: pixels, to begin with; None: the model's own.
        height: likewise.
        steps: to begin with; None: what the model's card recommends, or its pipeline's own number.
        guidance: to begin with; None: likewise.
        images: pictures in one run, to begin with.
        size: "large" (half a card, the default) or "xlarge" (a whole one, at twice the price).
        **loading: `revision`, `token`, `dtype`, `quantization`, `trust_remote_code`, as `ImageEngine` takes them.

    Raises:
        ModelError: the model cannot be used.
        RequestError: a setting to begin with is out of range, or the model has no such thing.

    Examples:
        >>> demo = ZeroDiffusion("stabilityai/stable-diffusion-xl-base-1.0")
        >>> demo.launch()
    """

    def __init__(
        self,
        model: str | Path | ImageEngine,
        *,
        title: str | None = None,
        description: str | None = None,
        examples: Sequence[str] | None = None,
        negative_prompt: str | None = None,
        width: int | None = None,
        height: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        images: int | None = None,
        size: str | None = None,
        **loading: Any,
    ) -> None:
        self.engine = model if isinstance(model, ImageEngine) else ImageEngine(model, **loading)
        start = {
            "negative_prompt": negative_prompt,
            "width": width,
            "height": height,
            "steps": steps,
            "guidance": guidance,
            "images": images,
        }
        self.model = ImageModel(self.engine, size=size, start=start)
        shown = self.engine.name if title is None else title
        super().__init__(title=shown, delete_cache=(_DAY_S, _DAY_S))
        with self:
            self.parts = Page(self.model, title=shown, description=description, examples=examples or ())
            connect(self.parts)
            add_endpoint(self.model)
        let_wait(self)

    def generate(self, prompt: str, **settings: Any) -> ImageReply:
        """Make pictures without a page.

        Args:
            prompt: what is to be seen.
            **settings: fields of `ImageRequest`, such as `seed`, `images`, `steps` or `image`.

        Raises:
            RequestError: the prompt or a setting cannot be used.
            gradio.Error: the GPU call failed.
        """
        return self.model.paint(self.model.work(self.model.request(prompt, settings)))
