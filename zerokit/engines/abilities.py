"""What a model that makes pictures can do, read off its pipeline, its configs and its card."""

from __future__ import annotations

import copy
import functools
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from zerokit.requests import MAX_GUIDANCE, MAX_SIDE, MAX_STEPS, MIN_SIDE, ImageMode

DEFAULT_SIDE = 1024
"""Pixels, for a pipeline that names no size."""
_GUIDANCE = ("guidance_scale", "prior_guidance_scale")
_UNLIMITED = 100_000
_PROBE_STEPS = 6


@dataclass(frozen=True)
class Abilities:
    """What may be asked of a model, and what it does when nothing is said."""

    family: str
    """Class name of its text-to-image pipeline."""
    modes: frozenset[ImageMode]
    negative_prompt: bool
    """It takes one, and it can have an effect."""
    guidance: float | None
    """The default; None: it has no such parameter."""
    steps: int
    width: int
    height: int
    multiple: int
    """Sides are multiples of so many pixels."""
    max_prompt_tokens: int | None
    """What its text encoder reads; None: not known."""
    schedulers: tuple[str, ...]
    """Short names, its own first; one or none: there is no choice."""
    safety_checker: bool


def look(
    pipe: Any, classes: Mapping[ImageMode, type], card: Mapping[str, Any], schedulers: tuple[str, ...]
) -> Abilities:
    """The abilities of a loaded text-to-image pipeline.

    Args:
        pipe: the pipeline.
        classes: for each mode that diffusers knows for this family, its pipeline class.
        card: what the model's card recommends (`inference: parameters`), whatever its author wrote.
        schedulers: short names of those that it can run with, its own first.
    """
    signature = inspect.signature(type(pipe).__call__).parameters
    name = guidance_parameter(type(pipe))
    width, height = _size(pipe, signature)
    return Abilities(
        family=type(pipe).__name__,
        modes=frozenset(_modes(pipe, classes)),
        negative_prompt="negative_prompt" in signature and _has_real_guidance(pipe, signature),
        guidance=None if name is None else _number(card, "guidance_scale", 0, MAX_GUIDANCE, signature[name].default),
        steps=int(_number(card, "num_inference_steps", 1, MAX_STEPS, _default(signature, "num_inference_steps", 50))),
        width=int(_number(card, "width", MIN_SIDE, MAX_SIDE, width)),
        height=int(_number(card, "height", MIN_SIDE, MAX_SIDE, height)),
        multiple=_multiple(pipe),
        max_prompt_tokens=_max_prompt_tokens(pipe, signature),
        schedulers=schedulers,
        safety_checker=getattr(pipe, "safety_checker", None) is not None,
    )


def denoiser(pipe: Any) -> torch.nn.Module:
    """The part of a pipeline that runs at every step."""
    for name in ("unet", "transformer", "decoder", "prior"):
        part = getattr(pipe, name, None)
        if isinstance(part, torch.nn.Module):
            return part
    modules = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    return max(modules, key=lambda module: sum(p.numel() for p in module.parameters()))


def guidance_parameter(pipeline_class: type) -> str | None:
    """How a pipeline calls what says how closely the prompt is followed.

    Where there is both a `guidance_scale` that is a number and a `true_cfg_scale` (Flux), the first is what the model
    was distilled to read. Where the first is None (QwenImage) or missing, it is the second.
    """
    signature = inspect.signature(pipeline_class.__call__).parameters
    for name in (*_GUIDANCE, "true_cfg_scale"):
        if name in signature and isinstance(signature[name].default, (int, float)):
            return name
    return None


def runs_both_prompts(pipe: Any, guidance: float | None) -> bool:
    """Whether with this guidance every step runs the denoiser on the prompt and on the negative one."""
    name = guidance_parameter(type(pipe))
    if guidance is None or name is None:
        return False
    if name != "true_cfg_scale" and hasattr(type(pipe), "do_classifier_free_guidance"):
        pipe._guidance_scale = guidance
        return bool(pipe.do_classifier_free_guidance)
    signature = inspect.signature(type(pipe).__call__).parameters
    return guidance > 1 and "negative_prompt" in signature and _has_real_guidance(pipe, signature)


def schedulers(pipe: Any) -> dict[str, Any]:
    """Schedulers that this pipeline can run with, by short name, its own first; each to be copied for a call.

    Some take a fifth of a second to make, which is not to be spent in a call, nor twice by models with one config. They
    compute with thousands of numbers, one at a time and on the CPU: what `spaces` does around every operation of an
    app's main process would make that several times as long.
    """
    own = getattr(pipe, "scheduler", None)
    if own is None:
        return {}
    found = {_short(type(own)): own}
    if compatible := getattr(own, "compatibles", None):
        config = own.to_json_string()
        with torch._C.DisableTorchFunction():
            for cls in sorted(compatible, key=lambda cls: cls.__name__):
                if _short(cls) not in found and (made := _fitting(cls, config)) is not None:
                    found[_short(cls)] = made
    return found


def _make(cls: Any, config: Any) -> Any:
    """A fresh scheduler from another's config."""
    # Its first steps in the other way cost four runs of the model each; diffusers warns of it, too.
    plain = "skip_prk_steps" in inspect.signature(cls.__init__).parameters and "skip_prk_steps" not in config
    return cls.from_config(config, **({"skip_prk_steps": True} if plain else {}))


def _short(scheduler_class: type) -> str:
    return scheduler_class.__name__.removesuffix("Scheduler")


@functools.lru_cache(maxsize=256)
def _fitting(cls: Any, config_json: str) -> Any:
    """A scheduler from another's config; None where it cannot be made, or leads a perfect model astray."""
    config = json.loads(config_json)
    wanted = inspect.signature(cls.__init__).parameters
    # A model that was trained down to zero signal sees noise it does not know under another schedule.
    if config.get("rescale_betas_zero_snr") and "rescale_betas_zero_snr" not in wanted:
        return None
    if "Flow" in str(config.get("prediction_type", "")) or cls.__name__.startswith("EDM"):
        return None
    from zerokit.engines.denoising import perfect_output

    try:
        made = _make(cls, config)
        scheduler = copy.deepcopy(made)
        scheduler.set_timesteps(_PROBE_STEPS)
        generator = torch.Generator().manual_seed(0)
        clean = torch.randn(1, 4, 4, 4, generator=generator)
        sample = torch.randn(1, 4, 4, 4, generator=generator) * scheduler.init_noise_sigma
        takes_generator = "generator" in inspect.signature(scheduler.step).parameters
        more = {"generator": generator} if takes_generator else {}
        for step in scheduler.timesteps:
            scheduler.scale_model_input(sample, step)
            output = perfect_output(scheduler, clean, step, sample)
            sample = scheduler.step(output, step, sample, return_dict=False, **more)[0]
    except (ImportError, ValueError, TypeError, NotImplementedError, AttributeError, RuntimeError, IndexError):
        return None
    return made if torch.isfinite(sample).all() and float((sample - clean).abs().mean()) < 0.5 else None


def _modes(pipe: Any, classes: Mapping[ImageMode, type]) -> list[ImageMode]:
    channels = getattr(getattr(getattr(pipe, "unet", None), "config", None), "in_channels", None)
    if channels is None or not any(hasattr(pipe, name) for name in ("vae", "movq")):
        return list(classes)
    # 9 channels: with mask and masked picture. The inpainting pipelines of Kandinsky take nothing else.
    if channels == 9:
        return [mode for mode in classes if mode == "inpaint"]
    return [mode for mode in classes if mode != "inpaint" or (channels == 4 and hasattr(pipe, "vae"))]


def _has_real_guidance(pipe: Any, signature: Mapping[str, Any]) -> bool:
    if "true_cfg_scale" in signature and guidance_parameter(type(pipe)) != "true_cfg_scale":
        return False
    # Distilled models read the guidance as an input, and run on the prompt alone.
    unet = getattr(getattr(pipe, "unet", None), "config", None)
    return getattr(unet, "time_cond_proj_dim", None) is None


def _default(signature: Mapping[str, Any], name: str, otherwise: Any) -> Any:
    value = signature[name].default if name in signature else None
    return otherwise if value is None or value is inspect.Parameter.empty else value


def _number(card: Mapping[str, Any], name: str, low: float, high: float, otherwise: float) -> float:
    said = card.get(name)
    if isinstance(said, bool) or not isinstance(said, (int, float)) or not low <= said <= high:
        return otherwise
    return said


def _size(pipe: Any, signature: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height of a picture when nothing is said."""
    scale = int(getattr(pipe, "vae_scale_factor", 1) or 1)
    config = denoiser(pipe).config
    side = getattr(pipe, "default_sample_size", None) or getattr(config, "sample_size", None)
    high, wide = side if isinstance(side, (list, tuple)) else (side, side)
    width = _default(signature, "width", wide * scale if wide else DEFAULT_SIDE)
    height = _default(signature, "height", high * scale if high else DEFAULT_SIDE)
    return int(width), int(height)


def _multiple(pipe: Any) -> int:
    scale = int(getattr(pipe, "vae_scale_factor", 1) or 1)
    if getattr(pipe, "unet", None) is not None:
        return max(8, scale) if getattr(pipe, "vae", None) is not None else max(1, scale)
    config = denoiser(pipe).config
    patch = getattr(config, "patch_size", None) or getattr(config, "all_patch_size", None) or 1
    patch = max(patch) if isinstance(patch, (list, tuple)) else int(patch)
    packed = 2 if hasattr(pipe, "_pack_latents") else 1
    return scale * max(patch, packed)


def _max_prompt_tokens(pipe: Any, signature: Mapping[str, Any]) -> int | None:
    sequence = _default(signature, "max_sequence_length", None)
    limits = [token_limit(tokenizer, sequence) for tokenizer in tokenizers(pipe)]
    return max((limit for limit in limits if limit is not None), default=None)


def tokenizers(pipe: Any) -> list[Any]:
    """The tokenizers of a pipeline that have a text encoder behind them."""
    found = []
    for name, part in pipe.components.items():
        if "tokenizer" in name and part is not None:
            encoder = name.replace("tokenizer", "text_encoder")
            if pipe.components.get(encoder, part) is not None:
                found.append(part)
    return found


def token_limit(tokenizer: Any, sequence: int | None) -> int | None:
    """How many tokens of a prompt are read, those that the tokenizer adds included."""
    own = int(getattr(tokenizer, "model_max_length", _UNLIMITED))
    if "CLIP" in type(tokenizer).__name__ or sequence is None:
        return own if own < _UNLIMITED else None
    return sequence
