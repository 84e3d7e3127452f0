"""Stable Diffusion pipelines with random weights, made on the spot: each step as heavy as their width makes it."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.utils import logging
from tokenizers import pre_tokenizers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as text_logging

CONTEXT = 77
"""Tokens that the text encoder reads, as in the real one."""
TEXT_WIDTH = 128
SIDE = 256
"""Pixels of its own pictures."""


def make(folder: Path, *, width: int, dtype: torch.dtype = torch.float16) -> Path:
    """Save in `folder` a pipeline whose UNet has `width` (a multiple of 32) and twice as many channels."""
    _prepare()
    tokens = _tokenizer()
    return _save(folder, _decoder(), _text_encoder(tokens), tokens, _unet(width), dtype)


def make_large(folder: Path, *, dtype: torch.dtype = torch.float16) -> Path:
    """Save in `folder` a pipeline as large as Stable Diffusion 1.5 in all of its parts but its vocabulary."""
    _prepare()
    tokens = _tokenizer()
    unet = UNet2DConditionModel(
        sample_size=64, block_out_channels=(320, 640, 1280, 1280), cross_attention_dim=768, attention_head_dim=8
    )
    decoder = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        sample_size=512,
    )
    return _save(folder, decoder, _text_encoder(tokens, width=768, layers=12, heads=12), tokens, unet, dtype)


def _prepare() -> None:
    for talker in (logging, text_logging):
        talker.disable_progress_bar()
        talker.set_verbosity_error()
    torch.manual_seed(0)


def _save(
    folder: Path,
    decoder: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokens: CLIPTokenizer,
    unet: UNet2DConditionModel,
    dtype: torch.dtype,
) -> Path:
    pipe = StableDiffusionPipeline(
        vae=decoder,
        text_encoder=text_encoder,
        tokenizer=tokens,
        unet=unet,
        scheduler=DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.to(dtype=dtype).save_pretrained(folder)
    return folder


def _unet(width: int) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=SIDE // 8,
        block_out_channels=(width, 2 * width),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=8,
    )


def _decoder() -> AutoencoderKL:
    """As flat as the real one is deep: eight times as many pixels as latents on a side."""
    return AutoencoderKL(
        block_out_channels=(8, 16, 16, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=SIDE,
    )


def _text_encoder(tokens: CLIPTokenizer, *, width: int = TEXT_WIDTH, layers: int = 4, heads: int = 4) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokens),
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            max_position_embeddings=CONTEXT,
            projection_dim=width,
            bos_token_id=tokens.bos_token_id,
            eos_token_id=tokens.eos_token_id,
            pad_token_id=tokens.pad_token_id,
        )
    )


def _tokenizer() -> CLIPTokenizer:
    """One token for each byte, and one more for each byte at a word's end."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, *(byte + "</w>" for byte in alphabet), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=CONTEXT)
