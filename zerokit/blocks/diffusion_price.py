"""What the next click on an image page reserves, and what fits where that is more than is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from zerokit.blocks.diffusion_page import Page
from zerokit.blocks.diffusion_wiring import QUIET
from zerokit.blocks.image_model import Fit, ImageModel, blank
from zerokit.blocks.visitor import left_s
from zerokit.engines.shelf import Adapter
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
        asked = [*parts.asked_with, parts.starts_from, parts.quota]
        shown = [parts.quota, parts.fit]
        priced = [parts.images, parts.aspect, parts.width, parts.height, parts.steps]
        priced += [parts.guidance, parts.scheduler, parts.strength, parts.starts_from, *parts.part.inputs]
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

    def _asked(self, values: Sequence[Any], starts_from: Any) -> tuple[ImageRequest, tuple[Adapter, ...]]:
        """A request like the one on the page, whatever its prompt and picture will be."""
        return self.parts.asked(values, start_of(starts_from), prompt="?")

    def _price(self, token: gr.OAuthToken | None, *values: Any) -> tuple[Any, Any]:
        """What the next click reserves; and where that is more than is left, what would fit."""
        *asked_with, starts_from, meter = values
        hidden = gr.update(visible=False)
        try:
            asked, extra = self._asked(asked_with, starts_from)
            price_s = self.model.reserved_s(asked, extra)
        except ZeroKitError:  # half-typed settings have no price
            return self.parts.quota.priced(None), hidden
        left = left_s(token, meter) if price_s is not None else None
        if price_s is None or left is None or left <= 0 or price_s <= left:
            return self.parts.quota.priced(price_s), hidden
        fit = self.model.fit(asked, left, extra)
        return self.parts.quota.priced(price_s), _offer(fit, asked, left)

    def _take(self, token: gr.OAuthToken | None, *values: Any) -> tuple[Any, Any, Any]:
        """Take the settings that fit."""
        *asked_with, starts_from, meter = values
        left = left_s(token, meter)
        try:
            asked, extra = self._asked(asked_with, starts_from)
            fit = self.model.fit(asked, left, extra) if left is not None else None
        except ZeroKitError:
            fit = None
        if fit is None:
            return gr.skip(), gr.skip(), gr.skip()
        return fit.steps, fit.images, gr.update(visible=False)


def start_of(starts_from: Any) -> dict[str, Any]:
    """A picture like the one in the editor, as fields of a request.

    Args:
        starts_from: what `StartPicture` says of it.
    """
    mode, *size = starts_from if isinstance(starts_from, list | tuple) else (starts_from,)
    if mode not in ("image", "inpaint") or len(size) != 2:
        return {}
    return {"image": blank(*size), "width": None, "height": None}


def _offer(fit: Fit | None, asked: ImageRequest, left_s: float) -> Any:
    if fit is None:
        return gr.update(value=f"Nothing fits your {duration(left_s)}", visible=True, interactive=False)
    steps = "1 step" if fit.steps == 1 else f"{fit.steps} steps"
    many = "" if fit.images == asked.images else "1 picture of " if fit.images == 1 else f"{fit.images} pictures of "
    fits = "fits" if fit.images * fit.steps == 1 else "fit"
    return gr.update(value=f"{many}{steps} {fits} your {duration(left_s)}: use that", visible=True, interactive=True)
