"""An image page with adapters: the page of `ZeroDiffusion` with a gallery on it, and one prompt to several adapters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr
from PIL import Image

from zerokit.blocks import canvas
from zerokit.blocks.adapter_choice import Chosen, chosen
from zerokit.blocks.adapter_part import AdapterPart
from zerokit.blocks.diffusion_page import Page
from zerokit.blocks.diffusion_price import start_of
from zerokit.blocks.diffusion_run import Call, Shown, Spent
from zerokit.blocks.diffusion_studio import connect
from zerokit.blocks.diffusion_wiring import QUIET, root
from zerokit.blocks.image_adapters import acting, side_by_side
from zerokit.blocks.image_model import ImageModel
from zerokit.blocks.image_part import ImagePart
from zerokit.blocks.lora_image_endpoint import add_endpoints
from zerokit.calls import Outcome
from zerokit.engines.image import ImageEngine
from zerokit.engines.image_prompts import PreparedImages
from zerokit.engines.shelf import Adapter
from zerokit.errors import ZeroKitError
from zerokit.pictures.record import Record
from zerokit.quota.words import duration
from zerokit.requests import ImageReply, ImageRequest

COMPARE = "Compare"


class LoraImage(ImagePart):
    """The page, placed in the Blocks that are open, and its Python side.

    Args:
        engine: with its adapters.
        title: above the page; None: the model's name.
        description: below the title; Markdown.
        examples: prompts to click.
        allow_custom: let visitors bring adapters of their own.
        size: "large", "xlarge" or None (large).
        **start: where the settings start, as `ZeroDiffusion` takes them.
    """

    def __init__(
        self,
        engine: ImageEngine,
        *,
        title: str | None,
        description: str | None,
        examples: Sequence[str] | None,
        allow_custom: bool,
        size: str | None,
        **start: Any,
    ) -> None:
        self.engine = engine
        self.adapters = AdapterPart(engine, allow_custom=allow_custom)
        self.inputs = self.adapters.inputs
        self.model = ImageModel(engine, size=size, start=start)
        shown = engine.name if title is None else title
        self.parts = Page(self.model, title=shown, description=description, examples=examples or (), part=self)
        self.run = connect(self.parts)
        self._add_events()
        add_endpoints(self.model, self.adapters)

    # From Python.

    def generate(self, prompt: str, *, adapters: Any = None, **settings: Any) -> ImageReply:
        """Make pictures with these adapters."""
        choice = chosen(adapters, self.engine.adapters)
        return self.model.paint(self.model.work(acting(self.model.request(prompt, settings), choice)))

    def compare(self, prompt: str, *, adapters: Any = None, **settings: Any) -> dict[str, ImageReply]:
        """A picture of the base and of each adapter alone, in one call."""
        everything = [adapter.name for adapter in self.engine.adapters]
        choice = chosen(everything if adapters is None else adapters, self.engine.adapters)
        rows = side_by_side(self.model.request(prompt, settings), choice)
        replies = self.model.compare(self.model.batch_work(rows))
        return dict(zip(["", *(one.name for one in choice.choices)], replies, strict=False))

    # As a part of the page.

    def place(self) -> None:
        """Place the gallery of adapters, and the button that compares them."""
        self.adapters.place()
        self.button = gr.Button(COMPARE, size="sm", interactive=False, elem_classes="zi-run")

    def take_part(self, asked: ImageRequest, values: Sequence[Any]) -> tuple[ImageRequest, tuple[Adapter, ...]]:
        """The request with the picked adapters in it."""
        choice = self.adapters.chosen(values)
        return acting(asked, choice), choice.extra

    def recalled(self, record: Record, values: Sequence[Any]) -> tuple[list[Any], list[str]]:
        """The adapters of a picture, with their weights; what else was picked is no longer."""
        known = {adapter.name for adapter in self.adapters.known(values)}
        picked = {choice.name: choice.weight for choice in record.adapters if choice.name in known}
        notes = [f"The adapter {choice.name} is not here." for choice in record.adapters if choice.name not in known]
        return [{"picked": picked}, gr.skip()], notes

    # Side by side.

    def _add_events(self) -> None:
        parts = self.parts
        self.adapters.add_events(parts.prompt)
        asked = [*parts.asked_with, parts.starts_from]
        changes = [component.change for component in asked]
        gr.on(
            [*changes, root().load],
            self._offer,
            asked,
            self.button,
            trigger_mode="always_last",
            concurrency_limit=None,
            **QUIET,
        )
        inputs = [*parts.asked_with, parts.editor, parts.known]
        over = self.run.listen([self.button.click], self._compare, inputs, api_visibility="private")
        over.then(self._offer, asked, self.button, **QUIET)

    def _rows(
        self, values: Sequence[Any], start: dict[str, Any], *, prompt: str | None = None
    ) -> tuple[Chosen, PreparedImages]:
        choice = self.adapters.chosen(values[-len(self.inputs) :])
        rows = side_by_side(self.parts.plainly(values, start, prompt=prompt), choice)
        return choice, self.model.batch_work(rows, choice.extra)

    def _offer(self, *values: Any) -> Any:
        """The button, with what it makes and what that reserves."""
        *asked, starts_from = values
        try:
            _, work = self._rows(asked, start_of(starts_from), prompt="?")
            price_s = self.model.compare.quote(work).reserved_s
        except ZeroKitError:  # nothing is picked, or a setting is half typed
            return gr.update(value=COMPARE, interactive=False)
        price = "" if price_s is None else f" · about {duration(price_s, up=True)}"
        return gr.update(value=f"{COMPARE} {len(work.rows)} pictures{price}", interactive=True)

    def _compare(self, request: gr.Request, token: gr.OAuthToken | None, *values: Any) -> Iterator[Shown]:
        """One picture of the base and of each picked adapter."""
        *asked, editor, meter = values

        def ready() -> Call:
            choice, work = self._rows(asked, self.run.start(editor))
            names = [one.shown for one in choice.compared()]
            return Call(
                self.model.compare,
                work,
                work.rows[0].request.seed,
                lambda made: _pictures(names, made),
                lambda outcome: self._compared(names, work, outcome),
            )

        yield from self.run.run(ready, request, token, meter)

    def _compared(self, names: Sequence[str], work: PreparedImages, outcome: Outcome) -> Shown:
        replies = outcome.value if isinstance(outcome.value, list) else []
        files: list[tuple[str, str]] = []
        for name, row, reply in zip(names, work.rows, replies, strict=False):
            pairs = zip(self.model.save(row, reply, self.run.cache), reply.pictures, strict=True)
            files += [(str(file), _caption(name, picture.seed)) for file, picture in pairs]
        first = files[0][0] if files else None
        return files, canvas.compared(outcome), Spent(work.rows[0].request.seed, outcome.usage, None, first)


def _pictures(names: Sequence[str], made: Any) -> list[tuple[Image.Image, str]]:
    replies: list[ImageReply] = made if isinstance(made, list) else []
    return [
        (picture.image, _caption(name, picture.seed))
        for name, reply in zip(names, replies, strict=False)
        for picture in reply.pictures
    ]


def _caption(name: str, seed: int) -> str:
    return f"{name} · {canvas.caption(seed)}"
