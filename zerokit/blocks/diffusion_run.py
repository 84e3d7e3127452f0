"""What an image page does with a click: the run, and what is said and shown of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio import processing_utils
from PIL import Image

from zerokit.blocks import canvas
from zerokit.blocks.diffusion_page import Page
from zerokit.blocks.diffusion_wiring import QUIET, TOLD_BY_SCRIPT, not_a_tool
from zerokit.blocks.image_model import ImageModel
from zerokit.blocks.running import Running
from zerokit.blocks.visitor import left_s
from zerokit.calls import Outcome
from zerokit.calls.usage import Usage
from zerokit.engines.image_prompts import PreparedImage
from zerokit.errors import ZeroKitError
from zerokit.pictures.mask import painted
from zerokit.requests import ImageReply

STOP_GRACE_S = 4.0
"""GPU seconds in which a stopped call may turn what it has into a picture: a step and the decoding."""
_ABOUT = "What the page's button does. Gradio's run history keeps its runs, so it is public; programs have /generate."
Pictures = list[tuple[str, str]]
"""Files with their captions."""
Shown = tuple[Pictures, str, "Spent"]


@dataclass(frozen=True)
class Spent:
    """What is settled when a run is over."""

    seed: int | None = None
    usage: Usage | None = None
    start: str | None = None
    """The picture it started from, as a file."""
    first: str | None = None
    """The first of what was made."""


@dataclass(frozen=True)
class Call:
    """One GPU call of the page, ready to be made."""

    function: Any
    work: Any
    seed: int | None
    pictures: Callable[[Any], list[tuple[Image.Image, str]]]
    """From what there is so far to pictures with captions."""
    finished: Callable[[Outcome], Shown]


class Run:
    """From the click to the pictures.

    The event that makes pictures gives only what Gradio's run history may bring back: the pictures of this run and what
    is said of them, whole with every beat. Buttons, quota and the gallery of this visit belong to events of their own.
    """

    def __init__(self, model: ImageModel, parts: Page) -> None:
        self.model, self.parts = model, parts
        self._running = Running()
        self.cache = parts.gallery.GRADIO_CACHE

    def add_events(self, load: Callable[..., Any]) -> gr.events.Dependency:
        """Listen to Generate and Stop, and to the run history; returns the event that ends with the run."""
        parts = self.parts
        parts.made.change(**self._gallery, **TOLD_BY_SCRIPT)
        load(**self._gallery, **TOLD_BY_SCRIPT)
        load(None, parts.made, parts.seed, js=parts.script("restored"), **TOLD_BY_SCRIPT)
        parts.stop.click(self._stop, None, parts.stop, **QUIET)
        if parts.quota.active:
            parts.quota.change(lambda meter: meter, parts.quota, parts.known, **QUIET)
        clicks = [parts.generate.click, parts.prompt.submit]
        asked = [*parts.asked_with, parts.editor, parts.known]
        return self.listen(clicks, self._paint, asked, api_name="paint", api_description=_ABOUT)

    def listen(
        self, clicks: Sequence[Any], make: Callable[..., Any], inputs: Sequence[Any], **named: Any
    ) -> gr.events.Dependency:
        """Make pictures at these clicks; returns the event that ends with the run.

        Args:
            clicks: of buttons.
            make: a generator that yields what `run` does.
            inputs: for it.
            named: names it for programs, or hides it from them.
        """
        parts, buttons = self.parts, [self.parts.generate, self.parts.stop]
        gr.on(clicks, None, None, buttons, js=parts.script("begin"), **TOLD_BY_SCRIPT)
        made = gr.on(
            clicks,
            make,
            list(inputs),
            [parts.made, parts.status, parts.spent],
            concurrency_limit=None,
            show_progress="hidden",
            trigger_mode="once",
            **named,
        )
        shown = made.then(**self._gallery, **TOLD_BY_SCRIPT)
        spent = [parts.spent, parts.quota]
        settled = shown.then(self._settle, spent, [parts.seed, parts.chosen, parts.compare, parts.quota], **QUIET)
        ready = {"fn": None, "inputs": None, "outputs": buttons, "js": parts.script("over"), **TOLD_BY_SCRIPT}
        for event in (made, shown, settled):  # Gradio 6.31 does not go on with `then` after what went wrong
            event.failure(**ready)
        return settled.then(**ready).then(None, parts.made, parts.gallery, js=parts.script("made"), **TOLD_BY_SCRIPT)

    @property
    def _gallery(self) -> dict[str, Any]:
        """The pictures of the run, and behind them those of before."""
        outputs = [self.parts.gallery, self.parts.again]
        return {"fn": None, "inputs": self.parts.made, "outputs": outputs, "js": self.parts.script("shown")}

    def run(
        self, ready: Callable[[], Call], request: gr.Request, token: gr.OAuthToken | None, meter: Any
    ) -> Iterator[Shown]:
        """Make one call, and yield what the page shows of it: pictures, words, what is to be settled.

        Args:
            ready: checks what is asked; where it raises a ZeroKitError, that is all that is shown.
            request: of the page.
            token: of the visitor.
            meter: the quota bar's value.
        """
        try:
            call = ready()
        except ZeroKitError as exc:
            yield [], canvas.failed(exc), Spent()
            return
        last: Any = None
        files: Pictures = []
        spent = Spent(call.seed)
        yield files, canvas.asking(), spent
        function = call.function.within(left_s(token, meter))
        with self._running.call(request.session_hash) as stop:
            for beat in function.stopped_by(stop, STOP_GRACE_S).beats(call.work):
                if isinstance(beat, Outcome):
                    yield call.finished(beat)
                    continue
                if beat.made is not None and beat.made is not last:
                    last = beat.made
                    files = [(self._kept(image), caption) for image, caption in call.pictures(last)]
                yield files, canvas.pending(beat), spent

    @not_a_tool
    def _paint(self, request: gr.Request, token: gr.OAuthToken | None, *values: Any) -> Iterator[Shown]:
        """Make pictures on the page."""
        *asked, editor, meter = values

        def ready() -> Call:
            work = self.model.work(*self.parts.asked(asked, self.start(editor)))
            return Call(self.model.paint, work, work.request.seed, _coming, lambda end: self._finished(work, end))

        yield from self.run(ready, request, token, meter)

    def _finished(self, work: PreparedImage, outcome: Outcome) -> Shown:
        reply = outcome.value
        if not isinstance(reply, ImageReply) or not reply.pictures:
            return [], canvas.done(outcome), Spent(work.request.seed, outcome.usage)
        files = [str(file) for file in self.model.save(work, reply, self.cache)]
        captions = [canvas.caption(picture.seed, flagged=picture.flagged) for picture in reply.pictures]
        start = self._kept(work.request.image) if work.request.image is not None else None
        spent = Spent(work.request.seed, outcome.usage, start, files[0])
        return list(zip(files, captions, strict=True)), canvas.done(outcome), spent

    def start(self, editor: Any) -> dict[str, Any]:
        """The picture to start from, and what is painted in it, as fields of a request."""
        image, mask = painted(editor) if editor else (None, None)
        if image is None:
            return {}
        mask = mask if "inpaint" in self.model.engine.abilities.modes else None
        return {"image": image, "mask": mask, "width": None, "height": None}

    def _settle(self, spent: Spent | None, meter: Any, token: gr.OAuthToken | None) -> tuple[Any, ...]:
        """The page after a run: its seed, before and after, what is left."""
        spent = spent or Spent()
        quota = chosen = compare = gr.skip()
        if spent.usage is not None:
            quota = self.parts.quota.update(meter, token=token.token if token else None, usage=spent.usage)
        if spent.first is not None:
            both = (spent.start, spent.first) if spent.start else None
            chosen, compare = 0, gr.update(value=both, visible=both is not None)
        seed = gr.skip() if spent.seed is None else spent.seed
        return seed, chosen, compare, quota

    def _stop(self, request: gr.Request) -> Any:
        self._running.stop(request.session_hash)
        return gr.update(value="Stopping", interactive=False)

    def _kept(self, image: Image.Image) -> str:
        """A picture as a file that the page can show."""
        return str(processing_utils.save_pil_to_cache(image, self.cache, format="png"))


def _coming(made: Any) -> list[tuple[Image.Image, str]]:
    if not isinstance(made, ImageReply):
        return []
    pictures = [(picture.image, canvas.caption(picture.seed)) for picture in made.pictures]
    return [*pictures, (made.preview, "Coming")] if made.preview is not None else pictures
