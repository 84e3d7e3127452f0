"""From latents to pictures: decoded within the memory there is, looked at before anybody sees them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image

from zerokit.engines.denoising import not_finite
from zerokit.engines.memory import free, is_out_of_memory

PREVIEW_SIDE = 256
_DECODERS = ("vae", "movq", "vqgan")


def decoder(pipe: Any) -> Any:
    """The part of a pipeline that turns latents into pictures; None where it paints pixels."""
    return next((part for name in _DECODERS if (part := getattr(pipe, name, None)) is not None), None)


@contextmanager
def thrifty(part: Any) -> Iterator[None]:
    """Let a decoder work in tiles and one by one, where it can, while the block runs."""
    before = {name: getattr(part, name) for name in ("use_tiling", "use_slicing") if hasattr(part, name)}
    for name in before:
        switch = getattr(part, name.replace("use", "enable"), None)
        if switch is not None:
            switch()
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(part, name, value)


@contextmanager
def guarded(part: Any, say: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Let a decoder survive a full memory and numbers that overflow half precision, while the block runs.

    Nobody else may use the decoder meanwhile.

    Args:
        part: with a `decode`; None: nothing is done.
        say: called when decoding begins.

    Raises:
        NonFinite: in the block; the latents or the pictures are not finite, the latter also in fp32.
    """
    if part is None:
        yield
        return
    original, before = part.decode, part.__dict__.get("decode")

    @functools.wraps(original)
    def decode(latents: torch.Tensor, *args: Any, **more: Any) -> Any:
        if not torch.isfinite(latents).all():
            raise not_finite("the last step")
        say()
        made = _within_memory(part, original, latents, args, more)
        if not _is_finite(made):
            made = _in_full_precision(part, original, latents, args, more)
        if not _is_finite(made):
            raise not_finite("the decoding of the picture")
        return made

    part.decode = decode
    try:
        yield
    finally:
        del part.decode
        if before is not None:
            part.decode = before


def _within_memory(part: Any, decode: Any, latents: torch.Tensor, args: Any, more: dict[str, Any]) -> Any:
    """All at once; one by one; then in tiles."""
    try:
        return decode(latents, *args, **more)
    except RuntimeError as exc:
        if not is_out_of_memory(exc):
            raise
    free()
    try:
        return _one_by_one(decode, latents, args, more)
    except RuntimeError as exc:
        if not is_out_of_memory(exc):
            raise
    free()
    with thrifty(part):
        return _one_by_one(decode, latents, args, more)


def _one_by_one(decode: Any, latents: torch.Tensor, args: Any, more: dict[str, Any]) -> Any:
    made = []
    for i in range(latents.shape[0]):
        own = {name: [value[i]] if isinstance(value, list) else value for name, value in more.items()}
        made.append(decode(latents[i : i + 1], *args, **own))
    if isinstance(made[0], tuple):
        return (torch.cat([part[0] for part in made]),)
    made[0].sample = torch.cat([part.sample for part in made])
    return made[0]


def _in_full_precision(part: Any, decode: Any, latents: torch.Tensor, args: Any, more: dict[str, Any]) -> Any:
    dtype = next(part.parameters()).dtype
    if dtype not in (torch.float16, torch.bfloat16):
        raise not_finite("the decoding of the picture")
    part.to(torch.float32)
    try:
        return _within_memory(part, decode, latents.float(), args, more)
    finally:
        part.to(dtype)


def _is_finite(made: Any) -> bool:
    return bool(torch.isfinite(made[0] if isinstance(made, tuple) else made.sample).all())


def pictures(images: Any) -> list[Image.Image]:
    """What a pipeline made, as pictures (RGB).

    Args:
        images: a tensor (images, channels, height, width) from 0 to 1, or what the pipeline makes of "pt" instead.

    Raises:
        NonFinite: there is NaN in them.
    """
    if not torch.is_tensor(images):
        return [image.convert("RGB") if isinstance(image, Image.Image) else _picture(image) for image in images]
    if not torch.isfinite(images).all():
        raise not_finite("the last step")
    return [_picture(image.permute(1, 2, 0).float().cpu().numpy()) for image in images]


def _picture(values: Any) -> Image.Image:
    """From an array or tensor (height, width, channels), or (channels, height, width), of 0 to 1."""
    array = torch.as_tensor(values).float()
    if array.shape[-1] not in (1, 3, 4):
        array = array.permute(1, 2, 0)
    pixels = (array.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).convert("RGB")


def is_black(picture: Image.Image) -> bool:
    """Whether every pixel is 0."""
    return picture.getbbox() is None


@torch.no_grad()
def preview(pipe: Any, latents: torch.Tensor) -> Image.Image | None:
    """A small look at the first of `latents`; None where they cannot be decoded without their pipeline."""
    part = getattr(pipe, "vae", None)
    config = getattr(part, "config", None)
    if part is None or latents.ndim != 4 or getattr(config, "latent_channels", None) != latents.shape[1]:
        return None
    side = max(latents.shape[-2:]) * int(getattr(pipe, "vae_scale_factor", 8))
    small = latents[:1].float()
    if side > PREVIEW_SIDE:
        small = torch.nn.functional.interpolate(small, scale_factor=PREVIEW_SIDE / side, mode="area")
    small = small / float(getattr(config, "scaling_factor", None) or 1) + float(
        getattr(config, "shift_factor", None) or 0
    )
    weights = next(part.parameters())
    if weights.dtype is torch.float16 and getattr(config, "force_upcast", False):
        # Its pipeline decodes in fp32, too: SDXL's decoder overflows in fp16.
        part.to(torch.float32)
        try:
            return preview(pipe, latents)
        finally:
            part.to(torch.float16)
    # The class's own: a guard on this decoder would take a preview for the picture.
    made = type(part).decode(part, small.to(weights.device, weights.dtype), return_dict=False)[0]
    if not torch.isfinite(made).all():
        return None
    return pictures(made.float() / 2 + 0.5)[0]
