"""Tiny LoRA adapters for the pipelines of `tiny_image`, with random weights, as diffusers or kohya write them."""

from __future__ import annotations

import warnings
from pathlib import Path

import peft
import torch
from diffusers.utils import convert_state_dict_to_diffusers
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file

import tiny_image  # isort: skip

USUAL = "pytorch_lora_weights.safetensors"
DENOISER = ("to_q", "to_k", "to_v", "to_out.0")
TEXT = ("q_proj", "k_proj", "v_proj", "out_proj")
CONVOLUTIONS = ("conv1", "conv2", "time_emb_proj", "proj_in", "conv_in", "conv_out")


def trained(
    model: torch.nn.Module, targets: tuple[str, ...], *, rank: int = 4, strength: float = 0.3, **settings
) -> torch.nn.Module:
    """Put random LoRA matrices into a model, in place."""
    config = peft.LoraConfig(r=rank, lora_alpha=rank, target_modules=list(targets), **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft.inject_adapter_in_model(config, model)
    for name, weights in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weights, std=strength)
    return model


def matrices(model: torch.nn.Module, *, text: bool = False) -> dict[str, torch.Tensor]:
    found = get_peft_model_state_dict(model, adapter_name="default")
    found = convert_state_dict_to_diffusers(found) if text else found
    return {key: value.detach().half().contiguous() for key, value in found.items()}


def save(
    folder: Path,
    family: str = "stable-diffusion",
    *,
    seed: int = 1,
    parts: dict[str, tuple[str, ...]] | None = None,
    **settings,
) -> Path:
    """An adapter for one of `tiny_image.FAMILIES`, saved by its pipeline.

    Args:
        folder: where to.
        family: of the pipeline.
        seed: of the weights.
        parts: the kinds of layers in each of the pipeline's models; by default the attention of the denoiser and of
            the first text encoder.
        settings: for `trained`.
    """
    pipe = tiny_image.build(family)
    denoiser = "unet" if hasattr(pipe, "unet") else "transformer"
    parts = parts or {denoiser: DENOISER, "text_encoder": TEXT}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = {
            f"{name}_lora_layers": matrices(trained(getattr(pipe, name), targets, **settings), text="text" in name)
            for name, targets in parts.items()
        }
    with tiny_image.quiet():
        type(pipe).save_lora_weights(folder, **layers)
    return folder


def save_kohya(file: Path, *, seed: int = 1, alpha: float = 2.0, conv_alpha: float = 1.0) -> Path:
    """An adapter for "stable-diffusion" with the names and alphas of kohya's trainer."""
    pipe = tiny_image.build("stable-diffusion")
    tensors = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for prefix, model, targets in (
            ("lora_unet", pipe.unet, (*DENOISER, *CONVOLUTIONS[:2])),
            ("lora_te_text_model", pipe.text_encoder, TEXT),
        ):
            for key, value in matrices(trained(model, targets)).items():
                module, side = key.removesuffix(".weight").rsplit(".", 1)
                name = f"{prefix}_{module.replace('.', '_')}"
                tensors[f"{name}.{'lora_down' if side == 'lora_A' else 'lora_up'}.weight"] = value
                tensors[f"{name}.alpha"] = torch.tensor(conv_alpha if "conv" in module else alpha).half()
    save_file(tensors, file)
    return file
