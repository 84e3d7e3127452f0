"""Tiny pipelines with random weights for tests: the real classes, made from configs in well under a second.

folder = tiny_image.make("stable-diffusion", tmp_path)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from tokenizers import pre_tokenizers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

torch.set_num_threads(1)  # threads cost far more than they save on models of this size

CONTEXT = 24
"""Tokens that the CLIP text encoders read."""


def clip_tokenizer() -> CLIPTokenizer:
    """One token for each byte, and one more for each byte at a word's end."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, *(byte + "</w>" for byte in alphabet), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=CONTEXT)


def clip_text(tokens: CLIPTokenizer, width: int = 16) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokens),
            hidden_size=width,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=CONTEXT,
            bos_token_id=tokens.bos_token_id,
            eos_token_id=tokens.eos_token_id,
            pad_token_id=tokens.pad_token_id,
            projection_dim=width,
        )
    )


def unet(**settings) -> UNet2DConditionModel:
    values = dict(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    return UNet2DConditionModel(**(values | settings))


def kl(**settings) -> AutoencoderKL:
    """Twice as many pixels as latents on a side."""
    values = dict(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=32,
    )
    return AutoencoderKL(**(values | settings))


def stable_diffusion(**unet_settings) -> StableDiffusionPipeline:
    tokens = clip_tokenizer()
    return StableDiffusionPipeline(
        vae=kl(),
        text_encoder=clip_text(tokens),
        tokenizer=tokens,
        unet=unet(**unet_settings),
        scheduler=DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


FAMILIES: dict[str, Callable[[], object]] = {"stable-diffusion": stable_diffusion}


def build(family: str) -> object:
    """A pipeline with weights from a fixed seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return FAMILIES[family]()


def save(pipe: object, folder: Path, variant: str | None = None) -> Path:
    """Save in fp16, as models on the Hub are."""
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.to(torch.float16)
    pipe.save_pretrained(folder, variant=variant)
    return Path(folder)


def make(family: str, folder: Path) -> Path:
    """Build a pipeline of one of `FAMILIES` and save it in `folder`, which is returned."""
    return save(build(family), Path(folder))
