"""`ZeroDiffusion`: an image model as a page, an API and a Python object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import get_blocks_context

from zerokit.blocks import canvas
from zerokit.blocks.diffusion_page import Page, size_of
from zerokit.blocks.image_endpoint import add_endpoint
from zerokit.blocks.image_link import record_of
from zerokit.blocks.image_model import Fit, ImageModel, blank
from zerokit.blocks.running import Running
from zerokit.blocks.visitor import left_s
from zerokit.calls import Outcome
from zerokit.engines.image import ImageEngine
from zerokit.engines.image_prompts import PreparedImage
from zerokit.errors import RequestError, ZeroKitError
from zerokit.pictures.mask import painted
from zerokit.pictures.record import Record, read_png
from zerokit.quota.words import duration
from zerokit.requests import ImageReply

STOP_GRACE_S = 4.0
"""GPU seconds in which a stopped call may turn what it has into a picture: a step and the decoding."""
KEPT_PICTURES = 48
"""Pictures of this visit that stay in the gallery."""
_QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
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
        made = gr.on(
            [parts.generate.click, parts.prompt.submit],
            self._paint,
            [*parts.settings, parts.editor, parts.past, parts.quota],
            [parts.gallery, parts.status, parts.compare, parts.seed, parts.past, parts.quota, parts.again, *buttons],
            concurrency_limit=None,
            show_progress="hidden",
            trigger_mode="once",
            api_name="paint",
            api_description="One click on the page, with the page's settings. Programs use /generate.",
        )
        made.then(self._ready, None, buttons, **_QUIET)
        parts.stop.click(self._stop, None, None, **_QUIET)
        parts.aspect.change(self._free_size, parts.aspect, [parts.width, parts.height], **_QUIET)
        parts.editor.change(self._start_from, parts.editor, parts.starts_from, trigger_mode="always_last", **_QUIET)
        self._add_price()
        parts.gallery.select(_chosen, None, parts.chosen, **_QUIET)
        parts.again.click(self._change, [parts.past, parts.chosen], [parts.editor, parts.start_area], **_QUIET)
        recalled = [*parts.settings, parts.editor, parts.status]
        parts.recall.upload(self._recall, parts.recall, [*recalled, parts.recall], **_QUIET)
        parts.link.click(None, parts.settings, parts.link, js=_script("link"), api_visibility="private")
        load = _root().load
        load(self._open_link, None, recalled, **_QUIET)
        load(None, None, None, js=_script("drop"), api_visibility="private")

    def _add_price(self) -> None:
        parts = self.parts
        asked = [*parts.settings, parts.starts_from, parts.quota]
        priced = [parts.prompt, parts.images, parts.aspect, parts.width, parts.height, parts.steps]
        priced += [parts.guidance, parts.scheduler, parts.strength, parts.starts_from]
        gr.on(
            [_root().load, *(component.change for component in priced)],
            self._price,
            asked,
            [parts.quota, parts.fit],
            trigger_mode="always_last",
            concurrency_limit=None,
            **_QUIET,
        )
        parts.fit.click(
            self._fit,
            [*parts.settings, parts.starts_from, parts.quota],
            [parts.steps, parts.images, parts.fit],
            **_QUIET,
        )

    def _paint(self, request: gr.Request, token: gr.OAuthToken | None, *values: Any) -> Iterator[tuple[Any, ...]]:
        """Make pictures on the page."""
        *settings, editor, past, meter = values
        try:
            work = self._work(settings, editor)
        except ZeroKitError as exc:
            yield self._shown(status=canvas.failed(exc), over=True)
            return
        yield self._shown(status=canvas.said("Asking for a GPU"), seed=work.request.seed)
        function = self.model.paint.within(left_s(token, meter))
        with self._running.call(request.session_hash) as stop:
            for beat in function.stopped_by(stop, STOP_GRACE_S).beats(work):
                if not isinstance(beat, Outcome):
                    yield self._shown(status=canvas.pending(beat), gallery=_previewed(beat.made, past))
                    continue
                yield self._finished(work, beat, past, meter, token)

    def _finished(
        self, work: PreparedImage, outcome: Outcome, past: list[Any], meter: Any, token: gr.OAuthToken | None
    ) -> tuple[Any, ...]:
        """The page after a call: new pictures first, those of before after them."""
        settled = self.parts.quota.update(meter, token=token.token if token else None, usage=outcome.usage)
        reply = outcome.value if isinstance(outcome.value, ImageReply) else None
        if reply is None or not reply.pictures:
            return self._shown(status=canvas.done(outcome), quota=settled, gallery=past, over=True)
        files = self.model.save(work, reply, self.parts.gallery.GRADIO_CACHE)
        captions = [canvas.caption(picture.seed, flagged=picture.flagged) for picture in reply.pictures]
        pictures = [*zip(map(str, files), captions, strict=True), *past][:KEPT_PICTURES]
        compare = gr.update(visible=False)
        if work.request.image is not None:
            compare = gr.update(value=(work.request.image, reply.pictures[0].image), visible=True)
        return self._shown(
            gallery=gr.update(value=pictures, selected_index=0 if len(files) == 1 else None),
            status=canvas.done(outcome),
            compare=compare,
            past=pictures,
            quota=settled,
            again=gr.update(visible=self.parts.start_area.visible),
            over=True,
        )

    def _shown(self, *, over: bool = False, **parts: Any) -> tuple[Any, ...]:
        """One update of the page; what is not named stays as it is."""
        names = ("gallery", "status", "compare", "seed", "past", "quota", "again")
        return (*(parts.get(name, gr.skip()) for name in names), *(self._ready() if over else self._busy()))

    def _ready(self) -> tuple[Any, Any]:
        return gr.update(visible=True), gr.update(visible=False)

    def _busy(self) -> tuple[Any, Any]:
        return gr.update(visible=False), gr.update(visible=True)

    def _stop(self, request: gr.Request) -> None:
        self._running.stop(request.session_hash)

    def _work(self, settings: Sequence[Any], editor: Any) -> PreparedImage:
        """The page's settings and picture, settled and checked."""
        asked = self.parts.from_page(*settings)
        image, mask = painted(editor) if editor else (None, None)
        if image is not None:
            asked |= {"image": image, "mask": mask if "inpaint" in self.engine.abilities.modes else None}
            asked |= {"width": None, "height": None}
        return self.model.work(self.model.request(asked.pop("prompt"), asked))

    # What it costs.

    def _priced(self, settings: Sequence[Any], starts_from: Any) -> Any:
        """A request like the one on the page, whatever its prompt and picture will be."""
        asked = self.parts.from_page(*settings)
        mode, *size = starts_from if isinstance(starts_from, list | tuple) else (starts_from,)
        if mode in ("image", "inpaint") and len(size) == 2:
            asked |= {"image": blank(*size), "width": None, "height": None}
        prompt = asked.pop("prompt")
        return self.model.request(prompt if isinstance(prompt, str) and prompt.strip() else "?", asked)

    def _price(self, token: gr.OAuthToken | None, *values: Any) -> tuple[Any, Any]:
        """What the next click reserves; and where that is more than is left, what would fit."""
        *settings, starts_from, meter = values
        try:
            asked = self._priced(settings, starts_from)
            price_s = self.model.reserved_s(asked)
        except ZeroKitError:  # half-typed settings have no price
            return self.parts.quota.priced(None), gr.update(visible=False)
        left = left_s(token, meter) if price_s is not None else None
        if price_s is None or left is None or price_s <= left:
            return self.parts.quota.priced(price_s), gr.update(visible=False)
        fit = self.model.fit(asked, left)
        if fit is None:
            said = gr.update(value=f"Nothing fits your {duration(left)}", visible=True, interactive=False)
        else:
            many = f"{fit.images} picture{'' if fit.images == 1 else 's'} of " if fit.images < asked.images else ""
            steps = f"{fit.steps} step{'' if fit.steps == 1 else 's'}"
            fits = "fits" if fit.steps == 1 and not many else "fit"
            said = gr.update(
                value=f"{many}{steps} {fits} your {duration(left)}: use that", visible=True, interactive=True
            )
        return self.parts.quota.priced(price_s), said

    def _fit(self, token: gr.OAuthToken | None, *values: Any) -> tuple[Any, Any, Any]:
        """Take the settings that fit."""
        *settings, starts_from, meter = values
        left = left_s(token, meter)
        try:
            fit = self.model.fit(self._priced(settings, starts_from), left) if left is not None else None
        except ZeroKitError:
            fit = None
        if fit is None:
            return gr.skip(), gr.skip(), gr.skip()
        return fit.steps, fit.images, gr.update(visible=False)

    # Pictures and settings that come in.

    def _start_from(self, editor: Any) -> Any:
        """The mode that the picture on the page asks for, and its size."""
        image, mask = painted(editor) if editor else (None, None)
        if image is None:
            return "text"
        return ["image" if mask is None else "inpaint", *image.size]

    def _change(self, past: list[Any], chosen: Any) -> tuple[Any, Any]:
        """Start from the picture that was chosen in the gallery."""
        if not past:
            return gr.skip(), gr.skip()
        index = chosen if isinstance(chosen, int) and 0 <= chosen < len(past) else 0
        return past[index][0], gr.update(open=True)

    def _recall(self, file: str | None) -> list[Any]:
        """Bring back the settings that a picture carries."""
        skipped = [gr.skip()] * len(self.parts.settings)
        if not file:
            return [*skipped, gr.skip(), gr.skip(), gr.skip()]
        try:
            record = read_png(file)
            if record is None:
                raise RequestError("This picture carries no settings.")
        except ZeroKitError as exc:
            return [*skipped, gr.skip(), canvas.failed(exc), None]
        return [*self._recalled(record), None]

    def _recalled(self, record: Record) -> list[Any]:
        values, notes = self.parts.recalled(record)
        said = "The settings of that picture are back."
        if record.model and record.model != self.engine.name:
            notes.insert(0, f"It was made with {record.model[:120]}; here it is {self.engine.name}.")
        return [*values, None, canvas.said(" ".join([said, *notes]))]

    def _open_link(self, request: gr.Request) -> list[Any]:
        """The settings that a copied link carries."""
        record = record_of(request.query_params)
        if record is None:
            return [gr.skip()] * (len(self.parts.settings) + 2)
        return self._recalled(record)

    def _free_size(self, aspect: str) -> tuple[Any, Any]:
        size = size_of(aspect, self.engine.abilities)
        if size is None:
            return gr.update(visible=True), gr.update(visible=True)
        return gr.update(value=size[0], visible=False), gr.update(value=size[1], visible=False)


def _fits(fit: Fit, asked: int, left_s: float) -> str:
    steps = "1 step" if fit.steps == 1 else f"{fit.steps} steps"
    many = "" if fit.images == asked else "1 picture of " if fit.images == 1 else f"{fit.images} pictures of "
    return f"{many}{steps} {'fits' if fit.images * fit.steps == 1 else 'fit'} your {duration(left_s)}: use that"


def _chosen(event: gr.SelectData) -> Any:
    return event.index


def _previewed(made: Any, past: list[Any]) -> Any:
    """What the gallery shows while a call runs: what there is of it, and the pictures of before."""
    if not isinstance(made, ImageReply):
        return gr.skip()
    done = [(picture.image, canvas.caption(picture.seed)) for picture in made.pictures]
    coming = [(made.preview, "Coming")] if made.preview is not None else []
    return [*done, *coming, *past] if done or coming else gr.skip()


def _root() -> gr.Blocks:
    """The outermost Blocks: only theirs are told that the page was opened."""
    context = get_blocks_context()
    assert context is not None
    return context.root_block


def _script(name: str) -> str:
    return files("zerokit.blocks").joinpath(f"diffusion_{name}.js").read_text("utf-8")
