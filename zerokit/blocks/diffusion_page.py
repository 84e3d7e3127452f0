"""The components of an image page: what they are, where they stand, and how settings come in and go out of them."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import gradio as gr

from zerokit.blocks import canvas
from zerokit.blocks.image_model import ImageModel, most_images
from zerokit.blocks.image_part import ImagePart
from zerokit.engines.abilities import Abilities
from zerokit.engines.shelf import Adapter
from zerokit.pictures.record import Record
from zerokit.quota.meter import ZeroQuota
from zerokit.requests import MAX_GUIDANCE, MAX_STEPS, ImageRequest

CUSTOM = "Free"
ASPECTS = {"1:1": 1.0, "4:3": 4 / 3, "3:4": 3 / 4, "3:2": 3 / 2, "2:3": 2 / 3, "16:9": 16 / 9, "9:16": 9 / 16}
CHANGE = "Change this picture"
LINK = "Copy a link to these settings"
START = "Start from a picture"
KEPT_PICTURES = 48
"""Pictures of this visit that stay in the gallery."""
_STATE = '((window.zerokitPages ??= {})["PAGE_ID"] ??= {})'
"""What scripts know of a page. Not on its element: in a tab that is not open there is none."""
_GALLERY_HEIGHT = "max(280px, min(100dvh - 330px, 100vw))"
_PICTURES = [".png", ".jpg", ".jpeg", ".webp"]
_SMALL_SIDE = 128
"""Pixels up to which a picture is shown large with its pixels as they are."""


def size_of(aspect: str, own: Abilities) -> tuple[int, int] | None:
    """Width and height, in pixels, of a preset at the model's own area and in its multiples; None for a free size."""
    if aspect not in ASPECTS:
        return None
    ratio, step = ASPECTS[aspect], own.multiple
    height = math.sqrt(own.width * own.height / ratio)
    return tuple(max(step, round(side / step) * step) for side in (height * ratio, height))  # type: ignore[return-value]


def aspect_of(width: int, height: int, own: Abilities) -> str:
    """The preset that has this size."""
    return next((name for name in ASPECTS if size_of(name, own) == (width, height)), CUSTOM)


class Page:
    """The components, made and placed in the Blocks that are open.

    Settings that the model does not have are made, so that handlers have one shape, but not shown.
    """

    def __init__(
        self,
        model: ImageModel,
        *,
        title: str,
        description: str | None,
        examples: Sequence[str],
        part: ImagePart | None = None,
    ) -> None:
        self.model = model
        self.part = part or ImagePart()
        self.own = model.engine.abilities
        self.start = model.start
        self._starts = bool({"image", "inpaint"} & set(self.own.modes))
        if title:
            gr.Markdown(f"<h1>{html.escape(title)}</h1>", elem_classes="zerokit-title")
        if description:
            gr.Markdown(description)
        with gr.Row(equal_height=False, elem_classes="zi-page") as page:
            with gr.Column(scale=2, min_width=280, elem_classes="zi-ask"):
                self._ask()
            with gr.Column(scale=3, min_width=280, elem_classes="zi-results"):
                self._results()
            with gr.Column(scale=2, min_width=280, elem_classes="zi-more-settings"):
                if examples:
                    rows = [[example] for example in examples]
                    gr.Examples(rows, self.prompt, label="Examples", cache_examples=False, api_visibility="private")
                self.part.place()
                self._settings()
        page.elem_id = self.page_id = f"zerokit-image-{page._id}"

    def script(self, name: str) -> str:
        """A script of this page, which finds it among others in the same window."""
        script = text(f"diffusion_{name}.js").replace("PAGE_STATE", _STATE).replace("PAGE_ID", self.page_id)
        return script.replace("KEPT_PICTURES", str(KEPT_PICTURES))

    def call(self, name: str) -> str:
        """A script that calls what `diffusion_open.js` made."""
        return f"() => {{ {_STATE}.{name}?.(); }}".replace("PAGE_ID", self.page_id)

    def _ask(self) -> None:
        self.prompt = gr.Textbox(
            label="Prompt", placeholder="What shall be seen?", lines=1, max_lines=8, submit_btn=False, autofocus=True
        )
        with gr.Row():
            self.generate = gr.Button("Generate", variant="primary", min_width=120, elem_classes="zi-generate")
            self.stop = gr.Button("Stop", variant="stop", visible=False, min_width=120)
        self.fit = gr.Button("", visible=False, size="sm")
        self.quota = ZeroQuota()

    def _start_from(self) -> None:
        can_paint = "inpaint" in self.own.modes
        with gr.Accordion(START, open=False, visible=self._starts, elem_classes="zi-start") as self.start_area:
            gr.Markdown(
                "Drop a picture to change it as the prompt says. Paint over a part to change only that part."
                if can_paint
                else "Drop a picture to change it as the prompt says."
            )
            self.editor = gr.ImageEditor(
                type="pil",
                image_mode="RGBA",
                format="png",
                show_label=False,
                label="Picture to start from",
                sources=("upload", "clipboard"),
                transforms=(),
                layers=False,
                brush=self._brush() if can_paint else False,
                eraser=None if can_paint else False,
                height=320,
            )
            self.strength = gr.Slider(
                0.05, 1, 0.6, step=0.05, label="Strength", info="How much of it may change: 1 is everything"
            )

    def _brush(self) -> gr.Brush:
        """For a few strokes over what shall change, whatever the size of this model's pictures."""
        side = min(self.own.width, self.own.height)
        return gr.Brush(default_size=max(4, side // 12), colors=["#ff4d6d"], color_mode="fixed")

    def _settings(self) -> None:
        own, start = self.own, self.start
        aspect = aspect_of(start["width"], start["height"], own)
        with gr.Row():
            self.aspect = gr.Dropdown(
                [*((_sized(name, own), name) for name in ASPECTS), CUSTOM], value=aspect, label="Size", min_width=140
            )
            self.images = gr.Slider(1, most_images(), start.get("images", 1), step=1, label="Pictures", min_width=140)
        self._start_from()
        with gr.Accordion("Settings", open=False):
            self.negative_prompt = gr.Textbox(
                start.get("negative_prompt", ""),
                label="Negative prompt",
                info="What shall not be seen",
                visible=own.negative_prompt,
            )
            largest = max(2048, 2 * own.width, 2 * own.height) // own.multiple * own.multiple
            free = {"minimum": max(16, own.multiple), "maximum": largest, "step": own.multiple}
            self.width = gr.Slider(value=start["width"], label="Width", visible=aspect == CUSTOM, **free)
            self.height = gr.Slider(value=start["height"], label="Height", visible=aspect == CUSTOM, **free)
            self.steps = gr.Slider(1, min(MAX_STEPS, max(50, 2 * own.steps)), start["steps"], step=1, label="Steps")
            self.guidance = gr.Slider(
                0,
                min(MAX_GUIDANCE, 20),
                start.get("guidance", 0),
                step=0.1,
                label="Guidance",
                info="How closely the prompt is followed",
                visible=own.guidance is not None,
            )
            self.scheduler = gr.Dropdown(
                list(own.schedulers),
                value=own.schedulers[0] if own.schedulers else None,
                label="Scheduler",
                visible=len(own.schedulers) > 1,
            )
            with gr.Row():
                self.seed = gr.Number(None, label="Seed", precision=0, min_width=120)
                self.randomise = gr.Checkbox(True, label="Another seed each time", min_width=120)
            self.preview = gr.Checkbox(
                False, label="Preview", info="Small pictures while it paints; costs a little time"
            )
            self.recall = gr.File(
                label="Settings from a picture made here",
                file_types=_PICTURES,
                height=150,
            )

    def _results(self) -> None:
        pixels = ["zi-pixels"] if max(self.own.width, self.own.height) <= _SMALL_SIDE else []
        self.gallery = gr.Gallery(
            label="Pictures",
            show_label=False,
            format="png",
            columns=2,
            height=_GALLERY_HEIGHT,
            object_fit="contain",
            buttons=["download", "fullscreen"],
            interactive=False,
            elem_classes=["zi-gallery", *pixels],
        )
        with gr.Row(elem_classes="zi-tools"):
            self.again = gr.Button(CHANGE, size="sm", visible=self._starts, interactive=False, min_width=120)
            self.link = gr.Button(LINK, size="sm", min_width=120)
        self.status = gr.HTML(
            canvas.said("Your pictures come here."),
            label="What came of it",
            css_template=text("diffusion.css"),
            padding=False,
        )
        self.compare = gr.ImageSlider(
            label="Before and after",
            type="filepath",
            format="png",
            visible=False,
            interactive=False,
            elem_classes=["zi-compare", *pixels],
        )
        # What is folded is not in the page: a picture that is dropped beside everything needs a place that is.
        self.dropped = gr.File(file_types=_PICTURES, visible="hidden", elem_classes="zi-dropped")
        self.look = gr.Button(visible="hidden", elem_classes="zi-look")
        # Gradio's run history keeps what an event was given and gave: only this run's pictures, and nothing of quota.
        self.made = gr.Gallery(label="Pictures of this run", format="png", visible="hidden", interactive=False)
        self.spent = gr.State(None)
        self.known = gr.State(None)
        self.chosen = gr.State(0)
        self.starts_from = gr.State("text")

    @property
    def settings(self) -> list[Any]:
        """What a request is made of, in the order of `from_page`."""
        return [
            self.prompt,
            self.negative_prompt,
            self.aspect,
            self.width,
            self.height,
            self.images,
            self.steps,
            self.guidance,
            self.scheduler,
            self.seed,
            self.randomise,
            self.strength,
            self.preview,
        ]

    @property
    def asked_with(self) -> list[Any]:
        """What a request is made of, the page's part in it included."""
        return [*self.settings, *self.part.inputs]

    def plainly(self, values: Sequence[Any], changes: dict[str, Any], *, prompt: str | None = None) -> ImageRequest:
        """What is asked on the page, without the part in it.

        Args:
            values: of `asked_with`.
            changes: fields of the request that come from elsewhere; None counts as not given.
            prompt: instead of the one on the page.

        Raises:
            RequestError: it cannot be used.
        """
        fields = {**self.from_page(*values[: len(self.settings)]), **changes}
        said = fields.pop("prompt")
        return self.model.request(said if prompt is None else prompt, fields)

    def asked(
        self, values: Sequence[Any], changes: dict[str, Any], *, prompt: str | None = None
    ) -> tuple[ImageRequest, tuple[Adapter, ...]]:
        """The same with it, and the adapters that ride along."""
        return self.part.take_part(self.plainly(values, changes, prompt=prompt), values[len(self.settings) :])

    def from_page(
        self,
        prompt: Any,
        negative_prompt: Any,
        aspect: Any,
        width: Any,
        height: Any,
        images: Any,
        steps: Any,
        guidance: Any,
        scheduler: Any,
        seed: Any,
        randomise: Any,
        strength: Any,
        preview: Any,
    ) -> dict[str, Any]:
        """The page's settings as fields of a request; sliders give whole numbers as floats."""
        fixed = size_of(aspect, self.own) if isinstance(aspect, str) else None
        width, height = fixed or (whole(width), whole(height))
        return {
            "prompt": prompt if prompt is not None else "",
            "negative_prompt": negative_prompt or "" if self.own.negative_prompt else "",
            "width": width,
            "height": height,
            "images": whole(images),
            "steps": whole(steps),
            "guidance": guidance if self.own.guidance is not None else None,
            "scheduler": scheduler or "" if len(self.own.schedulers) > 1 else "",
            "seed": None if randomise else whole(seed),
            "strength": strength,
            "preview": bool(preview),
        }

    def recalled(self, record: Record) -> tuple[list[Any], list[str]]:
        """New values for `settings` as a picture has them, nothing of what was there before; and what has no place."""
        own, notes = self.own, []
        width, height = record.width or self.start["width"], record.height or self.start["height"]
        aspect = aspect_of(width, height, own)
        scheduler = record.scheduler if record.scheduler in own.schedulers else None
        if record.scheduler and scheduler is None and own.schedulers:
            notes.append(f"The scheduler {record.scheduler} is not one of this model's.")
        if record.negative_prompt and not own.negative_prompt:
            notes.append("This model takes no negative prompt.")
        if record.mode != "text":
            notes.append("It was made from another picture, which is not in the file: drop that one too.")
        first = own.schedulers[0] if own.schedulers else None
        values = [
            record.prompt,
            record.negative_prompt if own.negative_prompt else "",
            aspect,
            gr.update(value=width, visible=aspect == CUSTOM),
            gr.update(value=height, visible=aspect == CUSTOM),
            1,
            min(MAX_STEPS, record.steps) if record.steps else self.start["steps"],
            record.guidance if record.guidance is not None and own.guidance is not None else self.start.get("guidance"),
            scheduler or first,
            record.seed if record.seed is not None else gr.skip(),
            record.seed is None,
            record.strength if record.strength is not None else 0.6,
            False,
        ]
        return values, notes


def text(name: str) -> str:
    """A file beside this one."""
    return files("zerokit.blocks").joinpath(name).read_text("utf-8")


def _sized(aspect: str, own: Abilities) -> str:
    width, height = size_of(aspect, own) or (own.width, own.height)
    return f"{aspect} · {width} × {height}"


def whole(value: Any) -> Any:
    """A slider's whole number, which may come as a float."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
