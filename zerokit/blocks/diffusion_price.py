"""What the next click on an image page reserves, and what fits where that is more than is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from zerokit.blocks.diffusion_page import Page
from zerokit.blocks.diffusion_wiring import QUIET
from zerokit.blocks.image_model import Fit, ImageModel, blank
from zerokit.blocks.visitor import left_s
from zerokit.errors import ZeroKitError
from zerokit.quota.words import duration
from zerokit.requests import ImageRequest


class Price:
    """Keeps the price beside the button, and the row below it that offers what fits."""

    def __init__(self, model: ImageModel, parts: Page) -> None:
        self.model, self.parts = model, parts

    def add_events(self, load: Callable[..., Any], made: gr.events.Dependency) -> None:
        """Price the page when it is opened, when a setting changes, and after a call."""
        parts = self.parts
        asked = [*parts.settings, parts.starts_from, parts.quota]
        shown = [parts.quota, parts.fit]
        priced = [parts.images, parts.aspect, parts.width, parts.height, parts.steps]
        priced += [parts.guidance, parts.scheduler, parts.strength, parts.starts_from]
        gr.on(
            [load, *(component.change for component in priced)],
            self._price,
            asked,
            shown,
            trigger_mode="always_last",
            concurrency_limit=None,
            **QUIET,
        )
        made.then(self._price, asked, shown, concurrency_limit=None, **QUIET)
        parts.fit.click(self._take, asked, [parts.steps, parts.images, parts.fit], **QUIET)

    def _asked(self, settings: Sequence[Any], starts_from: Any) -> ImageRequest:
        """A request like the one on the page, whatever its prompt and picture will be."""
        asked = self.parts.from_page(*settings)
        mode, *size = starts_from if isinstance(starts_from, list | tuple) else (starts_from,)
        if mode in ("image", "inpaint") and len(size) == 2:
            asked |= {"image": blank(*size), "width": None, "height": None}
        del asked["prompt"]
        return self.model.request("?", asked)

    def _price(self, token: gr.OAuthToken | None, *values: Any) -> tuple[Any, Any]:
        """What the next click reserves; and where that is more than is left, what would fit."""
        *settings, starts_from, meter = values
        hidden = gr.update(visible=False)
        try:
            asked = self._asked(settings, starts_from)
            price_s = self.model.reserved_s(asked)
        except ZeroKitError:  # half-typed settings have no price
            return self.parts.quota.priced(None), hidden
        left = left_s(token, meter) if price_s is not None else None
        if price_s is None or left is None or left <= 0 or price_s <= left:
            return self.parts.quota.priced(price_s), hidden
        fit = self.model.fit(asked, left)
        return self.parts.quota.priced(price_s), _offer(fit, asked, left)

    def _take(self, token: gr.OAuthToken | None, *values: Any) -> tuple[Any, Any, Any]:
        """Take the settings that fit."""
        *settings, starts_from, meter = values
        left = left_s(token, meter)
        try:
            fit = self.model.fit(self._asked(settings, starts_from), left) if left is not None else None
        except ZeroKitError:
            fit = None
        if fit is None:
            return gr.skip(), gr.skip(), gr.skip()
        return fit.steps, fit.images, gr.update(visible=False)


def _offer(fit: Fit | None, asked: ImageRequest, left_s: float) -> Any:
    if fit is None:
        return gr.update(value=f"Nothing fits your {duration(left_s)}", visible=True, interactive=False)
    steps = "1 step" if fit.steps == 1 else f"{fit.steps} steps"
    many = "" if fit.images == asked.images else "1 picture of " if fit.images == 1 else f"{fit.images} pictures of "
    fits = "fits" if fit.images * fit.steps == 1 else "fit"
    return gr.update(value=f"{many}{steps} {fits} your {duration(left_s)}: use that", visible=True, interactive=True)
