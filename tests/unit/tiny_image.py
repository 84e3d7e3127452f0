"""Tiny pipelines with random weights for tests: the real classes, made from configs in well under a second.

folder = tiny_image.make("stable-diffusion", tmp_path)
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

from zerokit.engines.image import ImageEngine
from zerokit.engines.image_loading import quiet

torch.set_num_threads(1)  # threads cost far more than they save on models of this size

CONTEXT = 24
"""Tokens that the CLIP text encoders read."""


def clip_tokenizer() -> CLIPTokenizer:
    """One token for each byte, and one more for each byte at a word's end."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, *(byte + "</w>" for byte in alphabet), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=CONTEXT)


def clip_text(tokens: CLIPTokenizer, width: int = 16, kind: type = CLIPTextModel) -> CLIPTextModel:
    return kind(
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


def t5_tokenizer(context: int = 512) -> PreTrainedTokenizerFast:
    """One token for each byte, and one at the end."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<pad>", "</s>", *alphabet])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", model_max_length=context
    )


def t5_text(tokens: PreTrainedTokenizerFast, width: int = 16) -> T5EncoderModel:
    return T5EncoderModel(T5Config(vocab_size=len(tokens), d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=2))


def latent_consistency() -> LatentConsistencyModelPipeline:
    """The guidance is an input, there is no negative prompt, and the pipeline cannot be interrupted."""
    tokens = clip_tokenizer()
    return LatentConsistencyModelPipeline(
        vae=kl(),
        text_encoder=clip_text(tokens),
        tokenizer=tokens,
        unet=unet(time_cond_proj_dim=8),
        scheduler=LCMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="epsilon"
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def flux() -> FluxPipeline:
    """Flow matching, latents packed into tokens, guidance as an input."""
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=kl(shift_factor=0.1, scaling_factor=0.4, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=clip_text(clip),
        tokenizer=clip,
        text_encoder_2=t5_text(t5),
        tokenizer_2=t5,
        transformer=FluxTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=1,
            joint_attention_dim=16,
            pooled_projection_dim=16,
            axes_dims_rope=(4, 4, 8),
            guidance_embeds=True,
        ),
    )


def stable_diffusion_3() -> StableDiffusion3Pipeline:
    """Flow matching with plain latents, and without the large text encoder."""
    one, two = clip_tokenizer(), clip_tokenizer()
    return StableDiffusion3Pipeline(
        transformer=SD3Transformer2DModel(
            sample_size=16,
            patch_size=2,
            in_channels=16,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            caption_projection_dim=16,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            out_channels=16,
            pos_embed_max_size=64,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=kl(shift_factor=0.1, scaling_factor=1.5, latent_channels=16),
        text_encoder=clip_text(one, kind=CLIPTextModelWithProjection),
        tokenizer=one,
        text_encoder_2=clip_text(two, kind=CLIPTextModelWithProjection),
        tokenizer_2=two,
        text_encoder_3=None,
        tokenizer_3=None,
    )


def pixart_sigma() -> PixArtSigmaPipeline:
    """No callback, no interrupt, twice as many output channels as latents."""
    tokens = t5_tokenizer()
    return PixArtSigmaPipeline(
        tokenizer=tokens,
        text_encoder=t5_text(tokens),
        vae=kl(),
        transformer=PixArtTransformer2DModel(
            sample_size=8,
            num_layers=1,
            patch_size=2,
            attention_head_dim=8,
            num_attention_heads=2,
            caption_channels=16,
            in_channels=4,
            cross_attention_dim=16,
            out_channels=8,
            use_additional_conditions=False,
        ),
        scheduler=DPMSolverMultistepScheduler(),
    )


def stable_diffusion_safe() -> StableDiffusionPipeline:
    """With a safety checker that finds every picture unsafe."""
    pipe = stable_diffusion()
    vision = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32)
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision | {"patch_size": 16}, projection_dim=16))
    checker.concept_embeds_weights.data.fill_(-10)
    shape = {"height": 32, "width": 32}
    reader = CLIPImageProcessorPil(size=shape, crop_size=shape)
    parts = {**pipe.components, "safety_checker": checker, "feature_extractor": reader}
    return StableDiffusionPipeline(**parts)


FAMILIES: dict[str, Callable[[], object]] = {
    "stable-diffusion": stable_diffusion,
    "stable-diffusion-safe": stable_diffusion_safe,
    "stable-diffusion-3": stable_diffusion_3,
    "flux": flux,
    "pixart-sigma": pixart_sigma,
    "lcm": latent_consistency,
}


def build(family: str) -> object:
    """A pipeline with weights from a fixed seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return FAMILIES[family]()


def save(pipe: object, folder: Path, variant: str | None = None) -> Path:
    """Save in fp16, as models on the Hub are."""
    with quiet():
        for part in pipe.components.values():
            if isinstance(part, torch.nn.Module):
                part.to(torch.float16)
        pipe.save_pretrained(folder, variant=variant)
    return Path(folder)


def make(family: str, folder: Path) -> Path:
    """Build a pipeline of one of `FAMILIES` and save it in `folder`, which is returned."""
    return save(build(family), Path(folder))


@functools.cache
def engine(family: str = "stable-diffusion") -> ImageEngine:
    """One engine for each family and session: none keeps anything of a request."""
    with tempfile.TemporaryDirectory() as folder:
        return ImageEngine(make(family, Path(folder)))
