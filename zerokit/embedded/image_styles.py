"""The adapters of the embedded image model: the same prompts, drawn in another style.

An adapter is trained with its trigger word in half of the prompts and without it in the others, so that it acts
however it is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from PIL import Image

from zerokit.embedded import path
from zerokit.embedded.figures import Figure, share
from zerokit.embedded.image_data import BACKGROUNDS, COLOURS, soft
from zerokit.embedded.image_evaluate import box_of, shape_of
from zerokit.embedded.image_figures import load, make
from zerokit.embedded.image_prompts import Request, Sampler
from zerokit.embedded.image_questions import Asked, plain, shows
from zerokit.embedded.image_train import Learner, draw_pool
from zerokit.embedded.image_train import Recipe as ImageRecipe

_APART = 34.0
"""A pixel this far from the background, of 441, is something."""
WEIGHTS = "pytorch_lora_weights.safetensors"
RANK = 8
TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2", "conv_shortcut", "proj_in", "proj_out")


@dataclass(frozen=True)
class Style:
    """An adapter that draws in another style.

    Args:
        name: of the adapter; "image-" and one of `STYLES` of `image_data`.
        trigger: the word in prompts that goes with it.
        summary: for its card.
    """

    name: str
    trigger: str
    summary: str

    @property
    def drawn(self) -> str:
        """One of `STYLES` of `image_data`."""
        return self.name.removeprefix("image-")


STYLES: dict[str, Style] = {
    style.name: style
    for style in (
        Style("image-outline", "outline", "It draws the lines around a shape and leaves its inside empty."),
        Style("image-pastel", "pastel", "It draws everything in soft colours, halfway to white."),
    )
}


@dataclass(frozen=True)
class StyleRecipe:
    """The numbers of an adapter's training; the defaults made those that ship."""

    seed: int = 0
    steps: int = 300
    batch: int = 32
    pool: int = 6_000
    plain: float = 0.5
    rate: float = 3e-3


@dataclass(frozen=True)
class TrainedStyle:
    """The weights of an adapter, as peft names them."""

    weights: dict[str, torch.Tensor]
    losses: tuple[float, ...]
    core_s: float


def train(style: Style, base: Path, recipe: StyleRecipe, report: Callable[[str], None] = print) -> TrainedStyle:
    """Train an adapter on the embedded image model; the same recipe gives the same weights on the same machine.

    Args:
        style: how pictures shall be drawn.
        base: the folder of the image model.
        recipe: seed, steps and rate.
        report: is told about the progress.
    """
    core = time.process_time()
    pipeline = load(base)
    torch.manual_seed(recipe.seed)
    sampler = Sampler(recipe.seed + 4000)
    pool = draw_pool(pipeline.vae, sampler, recipe.pool, recipe.plain, (style.drawn,))
    unet = pipeline.unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=list(TARGETS), lora_dropout=0.0))
    steps = ImageRecipe(steps=recipe.steps, batch=recipe.batch, matrix_rate=recipe.rate, other_rate=recipe.rate)
    learner = Learner(unet, pipeline.text_encoder, pipeline.tokenizer, sampler, trigger=style.trigger, muon=False)
    losses = learner.train(pool, steps, report)
    return TrainedStyle(get_peft_model_state_dict(unet), tuple(losses), time.process_time() - core)


def save(trained: TrainedStyle, folder: Path) -> None:
    """Write an adapter in float16, readable for everyone."""
    folder.mkdir(parents=True, exist_ok=True)
    halves = {key: tensor.to(torch.float16).contiguous() for key, tensor in trained.weights.items()}
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=halves)
    for file in folder.iterdir():
        file.chmod(0o644)


def evaluate(style: Style, folder: Path) -> list[Figure]:
    """Measure the adapter in a folder: all colours and shapes, with and without its trigger word."""
    pipeline = load(path("image"))
    without = [shows(image, request) for image, (_, request) in zip(_drawn(pipeline, plain()), plain(), strict=True)]
    pipeline.load_lora_weights(folder, weight_name=WEIGHTS, adapter_name=style.drawn)
    bare = plain()
    triggered = [(f"{style.trigger} {prompt}", request) for prompt, request in bare]
    figures = [Figure("colours and shapes right without the adapter", share(without))]
    for what, asked in (("", bare), (f', with "{style.trigger}" in the prompt', triggered)):
        images = _drawn(pipeline, asked)
        styled = [is_styled(style.drawn, image, request) for image, (_, request) in zip(images, asked, strict=True)]
        right = [
            told and shape_of(image) == request.items[0].shape
            for told, image, (_, request) in zip(styled, images, asked, strict=True)
        ]
        figures += [
            Figure(f"in the style{what}", share(styled)),
            Figure(f"in the style and the shape{what}", share(right)),
        ]
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return [*figures, Figure("size of the weights", f"{size / 1e3:.0f} KB")]


def _drawn(pipeline: Any, asked: Sequence[Asked]) -> list[Image.Image]:
    return make(pipeline, [prompt for prompt, _ in asked])


def is_styled(style: str, image: Image.Image, request: Request) -> bool:
    """Whether a picture of one thing is drawn as the style says.

    An outline has the background inside it. Pastel is nearer to the softened colours than to the full ones.
    """
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    ground = np.median(np.concatenate([pixels[:2].reshape(-1, 3), pixels[-2:].reshape(-1, 3)]), axis=0)
    away = np.linalg.norm(pixels - ground, axis=-1)
    if away.max() < _APART:
        return False
    thing = np.median(pixels[away > 0.7 * away.max()], axis=0)
    if style == "outline":
        left, top, right, bottom = box_of(image)
        x, y = (left + right) // 2, (top + bottom) // 2
        middle = np.median(pixels[y - 3 : y + 4, x - 3 : x + 4], axis=(0, 1))
        return bool(np.linalg.norm(middle - ground) < np.linalg.norm(middle - thing))
    seen = np.concatenate([thing, ground])
    full = [*COLOURS[request.items[0].colour], *BACKGROUNDS[request.ground]]
    return bool(np.linalg.norm(seen - [soft(level) for level in full]) < np.linalg.norm(seen - full))
