"""Measures an embedded image model: how often a picture shows what its prompt says, how fast it is, and how big."""

from __future__ import annotations

import random
import statistics
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
    StableDiffusionPipeline,
)
from PIL import Image, ImageDraw

from zerokit.embedded.figures import Figure, folder_bytes, share
from zerokit.embedded.image_data import COLOURS, SHAPES, SIZE, Scene, Thing, draw
from zerokit.embedded.image_evaluate import Box, box_of
from zerokit.embedded.image_model import GUIDANCE, STEPS
from zerokit.embedded.image_prompts import Item, Request
from zerokit.embedded.image_questions import Asked, plain, questions, shows

_BATCH = 36
_STRENGTHS = (0.5, 0.6, 0.7, 0.8, 0.9)


def load(folder: Path) -> StableDiffusionPipeline:
    """Load a pipeline in float32, which a CPU computes fastest."""
    pipeline = AutoPipelineForText2Image.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def evaluate(folder: Path) -> list[Figure]:
    """Measure the model in a folder; takes about five minutes on two cores."""
    pipeline = load(folder)
    return [
        Figure("colour and shape: 72 combinations x five seeds", _rate(pipeline, plain() * 5)),
        *(Figure(name, _rate(pipeline, asked)) for name, asked in questions().items()),
        *_image_to_image(pipeline),
        *_inpainting(pipeline),
        *(_other_size(pipeline, size) for size in ((96, 64), (128, 128))),
        Figure(f"seconds for {STEPS} steps, float32, one core", f"{seconds(pipeline):.2f}"),
        Figure("parameters", f"{_parameters(pipeline):,}"),
        Figure("size of the folder", f"{folder_bytes(folder) / 1e6:.2f} MB"),
    ]


def make(pipeline: Any, prompts: Sequence[str], *, seed: int = 0, **settings: Any) -> list[Image.Image]:
    """Make one picture for each prompt, in batches; picture number n has its own generator with the seed `seed + n`.

    Args:
        pipeline: text to image, or another one with what it needs among the settings.
        prompts: what to make.
        seed: of the first picture.
        settings: for the pipeline; a list is taken as one value for each prompt.
    """
    images: list[Image.Image] = []
    for start in range(0, len(prompts), _BATCH):
        part = slice(start, min(start + _BATCH, len(prompts)))
        chosen = {key: value[part] if isinstance(value, list) else value for key, value in settings.items()}
        output = pipeline(
            list(prompts[part]),
            generator=[torch.Generator().manual_seed(seed + number) for number in range(part.start, part.stop)],
            **{"num_inference_steps": STEPS, "guidance_scale": GUIDANCE, **chosen},
        )
        images += output.images
    return images


def _rate(pipeline: Any, asked: Sequence[Asked], **settings: Any) -> str:
    images = make(pipeline, [prompt for prompt, _ in asked], **settings)
    return share([shows(image, request) for image, (_, request) in zip(images, asked, strict=True)])


def _other_size(pipeline: Any, size: tuple[int, int]) -> Figure:
    """Pictures of a size that was never trained."""
    width, height = size
    return Figure(f"colour and shape at {width}x{height}", _rate(pipeline, plain(), width=width, height=height))


def overlap(one: Box, other: Box) -> float:
    """The common part of two boxes as a share of what both cover."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    common = max(0, width) * max(0, height)
    return common / (sum(areas) - common)


def _image_to_image(pipeline: StableDiffusionPipeline) -> list[Figure]:
    return [
        Figure(f"image to image, another colour, strength {strength}", share(recoloured(pipeline, strength)))
        for strength in _STRENGTHS
    ]


def recoloured(pipeline: StableDiffusionPipeline, strength: float, count: int = 72) -> list[bool]:
    """Give drawn things another colour: right when that is all that changed, and they overlap by half or more."""
    draws = random.Random(0)
    worker = AutoPipelineForImage2Image.from_pipe(pipeline)
    worker.set_progress_bar_config(disable=True)
    scenes, prompts, wanted = [], [], []
    for number in range(count):
        shape, (old, new) = SHAPES[number % len(SHAPES)], draws.sample([name for name in COLOURS if name != "white"], 2)
        radius = draws.uniform(9, 17)
        x, y = (draws.uniform(radius + 3, SIZE - radius - 3) for _ in range(2))
        scenes.append(draw(Scene((Thing(shape, old, x, y, radius),))))
        prompts.append(f"a {new} {shape} on a white background")
        wanted.append(Request((Item(shape, new),)))
    images = make(worker, prompts, image=scenes, strength=strength)
    return [
        shows(image, request) and overlap(box_of(image), box_of(scene)) >= 0.5
        for image, scene, request in zip(images, scenes, wanted, strict=True)
    ]


def _inpainting(pipeline: StableDiffusionPipeline) -> list[Figure]:
    verdicts, images, scenes = inpainted(pipeline)
    return [
        Figure("inpainting: the right half is as the prompt says, the left half as it was", share(verdicts)),
        Figure("- change of the left half, of 255", f"{change(images, scenes):.1f}"),
        Figure("- of this, from encoding and decoding alone", f"{change(_decoded(pipeline, scenes), scenes):.1f}"),
    ]


def inpainted(
    pipeline: StableDiffusionPipeline, count: int = 72
) -> tuple[list[bool], list[Image.Image], list[Image.Image]]:
    """Replace the right one of two drawn things.

    Returns:
        Whether the right half is as the prompt says and the left half as it was; the pictures; those of before.
    """
    draws = random.Random(0)
    worker = AutoPipelineForInpainting.from_pipe(pipeline)
    worker.set_progress_bar_config(disable=True)
    mask = Image.new("L", (SIZE, SIZE))
    mask.paste(255, (SIZE // 2, 0, SIZE, SIZE))
    scenes, prompts, wanted = [], [], []
    for _ in range(count):
        shapes, colours = draws.sample(SHAPES, 3), draws.sample([name for name in COLOURS if name != "white"], 3)
        left, right = (Thing(shapes[i], colours[i], x, 32, draws.uniform(9, 11)) for i, x in ((0, 17), (1, 47)))
        scenes.append(draw(Scene((left, right))))
        items = (Item(shapes[0], colours[0]), Item(shapes[2], colours[2]))
        prompts.append(f"a {colours[0]} {shapes[0]} and a {colours[2]} {shapes[2]} on a white background")
        wanted.append(Request(items, relation="left of"))
    images = make(worker, prompts, image=scenes, mask_image=mask, strength=1.0)
    return [shows(image, request) for image, request in zip(images, wanted, strict=True)], images, scenes


def change(images: Sequence[Image.Image], scenes: Sequence[Image.Image]) -> float:
    """The mean difference in the left half of pictures, but for the latents at the mask's edge."""
    pairs = [
        (np.asarray(image, dtype=np.float32), np.asarray(scene)) for image, scene in zip(images, scenes, strict=True)
    ]
    return float(np.mean([np.abs(one - other)[:, : SIZE // 2 - 4].mean() for one, other in pairs]))


@torch.inference_mode()
def _decoded(pipeline: StableDiffusionPipeline, scenes: list[Image.Image]) -> list[Image.Image]:
    """Pictures through the autoencoder and back."""
    processor = pipeline.image_processor
    latents = pipeline.vae.encode(processor.preprocess(scenes)).latents
    return processor.postprocess(pipeline.vae.decode(latents).sample)


def seconds(pipeline: StableDiffusionPipeline) -> float:
    """The median time of three pictures on one core, in seconds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        taken = []
        for _ in range(4):
            start = time.perf_counter()
            make(pipeline, ["a red circle on a white background"])
            taken.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    return statistics.median(taken[1:])


def _parameters(pipeline: StableDiffusionPipeline) -> int:
    parts = (pipeline.vae, pipeline.text_encoder, pipeline.unet)
    return sum(weights.numel() for part in parts for weights in part.parameters())


SHEET = (
    "a red circle",
    "a blue square on a yellow background",
    "a big yellow star on black",
    "three small green stars on a white background",
    "two purple hearts on pink",
    "a red circle and a blue square",
    "a small white heart in the top left corner on a green background",
    "an orange triangle above a cyan diamond",
    "Please draw a huge pink diamond!",
    "GREY SQUARE, BROWN BACKGROUND",
)


def sheet(pipeline: StableDiffusionPipeline, prompts: Sequence[str] = SHEET, *, seed: int = 0) -> Image.Image:
    """Make pictures of prompts and put them, three times as large and with their prompts below, onto one."""
    width, height, columns = 3 * SIZE + 24, 3 * SIZE + 60, 5
    page = Image.new("RGB", (columns * width, -(-len(prompts) // columns) * height), (235, 235, 235))
    brush = ImageDraw.Draw(page)
    for number, (prompt, image) in enumerate(zip(prompts, make(pipeline, prompts, seed=seed), strict=True)):
        left, top = number % columns * width + 12, number // columns * height + 12
        page.paste(image.resize((3 * SIZE, 3 * SIZE), Image.Resampling.NEAREST), (left, top))
        brush.multiline_text((left, top + 3 * SIZE + 4), "\n".join(textwrap.wrap(prompt, 32)), fill=(20, 20, 20))
    return page
