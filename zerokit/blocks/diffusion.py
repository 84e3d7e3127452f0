"""`ZeroDiffusion`: an image model as a page, an API and a Python object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from zerokit.blocks import canvas
from zerokit.blocks.diffusion_page import START, Page, size_of
from zerokit.blocks.diffusion_price import Price
from zerokit.blocks.diffusion_recall import Recall
from zerokit.blocks.diffusion_wiring import QUIET, root
from zerokit.blocks.image_endpoint import add_endpoint
from zerokit.blocks.image_model import ImageModel
from zerokit.blocks.running import Running
from zerokit.blocks.visitor import left_s
from zerokit.calls import Outcome
from zerokit.engines.image import ImageEngine
from zerokit.engines.image_prompts import PreparedImage
from zerokit.errors import ZeroKitError
from zerokit.pictures.mask import painted
from zerokit.requests import ImageReply

STOP_GRACE_S = 4.0
"""GPU seconds in which a stopped call may turn what it has into a picture: a step and the decoding."""
KEPT_PICTURES = 48
"""Pictures of this visit that stay in the gallery."""
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

    Example:
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
        self._running = Running()
        shown = self.engine.name if title is None else title
        super().__init__(title=shown, delete_cache=(_DAY_S, _DAY_S))
        with self:
            self.parts = Page(self.model, title=shown, description=description, examples=examples or ())
            self._add_events()
            add_endpoint(self.model)

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

    # What the page does.

    def _add_events(self) -> None:
        parts = self.parts
        buttons = [parts.generate, parts.stop]
        shown = [getattr(parts, name) for name in _SHOWN]
        made = gr.on(
            [parts.generate.click, parts.prompt.submit],
            self._paint,
            [*parts.settings, parts.editor, parts.past, parts.quota],
            [*shown, *buttons],
            concurrency_limit=None,
            show_progress="hidden",
            trigger_mode="once",
            # Programs use /generate. And Gradio's run history, which keeps the public events, would bring back what
            # hides and shows buttons as their labels, and the quota of that day.
            api_visibility="private",
        )
        ready = made.then(_ready, None, buttons, **QUIET)
        ready.then(None, parts.images, None, js=parts.script("made"), api_visibility="private")
        parts.stop.click(self._stop, None, parts.stop, **QUIET)
        parts.aspect.change(self._free_size, parts.aspect, [parts.width, parts.height], **QUIET)
        started = [parts.starts_from, parts.start_area]
        parts.editor.change(self._start_from, parts.editor, started, trigger_mode="always_last", **QUIET)
        parts.gallery.select(_chosen, None, parts.chosen, **QUIET)
        parts.gallery.preview_close(lambda: 0, None, parts.chosen, **QUIET)
        parts.again.click(self._change, [parts.past, parts.chosen], [parts.editor, parts.start_area], **QUIET)
        load = root().load
        Price(self.model, parts).add_events(load, made)
        Recall(parts, self.engine.name).add_events(load)

    def _paint(self, request: gr.Request, token: gr.OAuthToken | None, *values: Any) -> Iterator[tuple[Any, ...]]:
        """Make pictures on the page."""
        *settings, editor, past, meter = values
        try:
            work = self._work(settings, editor)
        except ZeroKitError as exc:
            yield _shown(*_ready(), status=canvas.failed(exc))
            return
        yield _shown(*_busy(), status=canvas.asking(), seed=work.request.seed)
        function = self.model.paint.within(left_s(token, meter))
        with self._running.call(request.session_hash) as stop:
            for beat in function.stopped_by(stop, STOP_GRACE_S).beats(work):
                if not isinstance(beat, Outcome):
                    yield _shown(status=canvas.pending(beat), gallery=_previewed(beat.made, past))
                    continue
                yield self._finished(work, beat, past, meter, token)

    def _finished(
        self, work: PreparedImage, outcome: Outcome, past: list[Any], meter: Any, token: gr.OAuthToken | None
    ) -> tuple[Any, ...]:
        """The page after a call: new pictures first, those of before after them."""
        settled = self.parts.quota.update(meter, token=token.token if token else None, usage=outcome.usage)
        reply = outcome.value if isinstance(outcome.value, ImageReply) else None
        if reply is None or not reply.pictures:
            # Only a preview of pictures that do not come is taken back: the one that is looked at stays open.
            gallery = past if work.request.preview else gr.skip()
            return _shown(*_ready(), status=canvas.done(outcome), quota=settled, gallery=gallery)
        files = self.model.save(work, reply, self.parts.gallery.GRADIO_CACHE)
        captions = [canvas.caption(picture.seed, flagged=picture.flagged) for picture in reply.pictures]
        pictures = [*zip(map(str, files), captions, strict=True), *past][:KEPT_PICTURES]
        compare = gr.update(visible=False)
        if work.request.image is not None:
            compare = gr.update(value=(work.request.image, reply.pictures[0].image), visible=True)
        return _shown(
            *_ready(),
            gallery=gr.update(value=pictures, selected_index=0) if len(files) == 1 else pictures,
            status=canvas.done(outcome),
            compare=compare,
            past=pictures,
            chosen=0,
            quota=settled,
            again=gr.update(interactive=True),
        )

    def _stop(self, request: gr.Request) -> Any:
        self._running.stop(request.session_hash)
        return gr.update(value="Stopping", interactive=False)

    def _work(self, settings: Sequence[Any], editor: Any) -> PreparedImage:
        """The page's settings and picture, settled and checked."""
        asked = self.parts.from_page(*settings)
        image, mask = painted(editor) if editor else (None, None)
        if image is not None:
            asked |= {"image": image, "mask": mask if "inpaint" in self.engine.abilities.modes else None}
            asked |= {"width": None, "height": None}
        return self.model.work(self.model.request(asked.pop("prompt"), asked))

    # Pictures that come in.

    def _start_from(self, editor: Any) -> tuple[Any, Any]:
        """The mode that the picture on the page asks for, and its size; and the same in words."""
        try:
            image, mask = painted(editor) if editor else (None, None)
        except ZeroKitError:  # is told at the click
            image, mask = None, None
        if image is None:
            return "text", gr.update(label=START)
        size = f"{image.width} × {image.height}"
        label = f"Starting from a picture · {size}" if mask is None else f"Changing the painted part · {size}"
        return ["image" if mask is None else "inpaint", *image.size], gr.update(label=label)

    def _change(self, past: list[Any], chosen: Any) -> tuple[Any, Any]:
        """Start from the picture that was chosen in the gallery."""
        if not past:
            return gr.skip(), gr.skip()
        index = chosen if isinstance(chosen, int) and 0 <= chosen < len(past) else 0
        return past[index][0], gr.update(open=True)

    def _free_size(self, aspect: str) -> tuple[Any, Any]:
        size = size_of(aspect, self.engine.abilities)
        if size is None:
            return gr.update(visible=True), gr.update(visible=True)
        return gr.update(value=size[0], visible=False), gr.update(value=size[1], visible=False)


_SHOWN = ("gallery", "status", "compare", "seed", "past", "chosen", "quota", "again")


def _shown(*buttons: Any, **parts: Any) -> tuple[Any, ...]:
    """One update of the page; what is not named stays as it is."""
    return (*(parts.get(name, gr.skip()) for name in _SHOWN), *(buttons or (gr.skip(), gr.skip())))


def _ready() -> tuple[Any, Any]:
    return gr.update(visible=True), gr.update(visible=False, value="Stop", interactive=True)


def _busy() -> tuple[Any, Any]:
    return gr.update(visible=False), gr.update(visible=True, value="Stop", interactive=True)


def _chosen(event: gr.SelectData) -> Any:
    return event.index


def _previewed(made: Any, past: list[Any]) -> Any:
    """What the gallery shows while a call runs: what there is of it, and the pictures of before."""
    if not isinstance(made, ImageReply):
        return gr.skip()
    done = [(picture.image, canvas.caption(picture.seed)) for picture in made.pictures]
    coming = [(made.preview, "Coming")] if made.preview is not None else []
    return [*done, *coming, *past] if done or coming else gr.skip()
