"""The embedded image model's tokenizer, networks and files: a Stable Diffusion pipeline of 3 million parameters."""

from __future__ import annotations

import json
import string
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from zerokit.embedded.image_data import SIZE
from zerokit.embedded.image_prompts import Sampler

START, END = "<|startoftext|>", "<|endoftext|>"
MAX_TOKENS = 40
STEPS, GUIDANCE = 10, 3.0
"""What the card recommends, and the evaluation uses."""
CHANNELS = 4
"""Of a latent: the inpainting pipeline of diffusers takes only this many."""
DOWN = 4
"""A latent is this many times smaller than its picture in each direction."""

_VOCABULARY = 800
_WORDINGS = 20_000


def train_tokenizer() -> CLIPTokenizer:
    """Learn a byte-level vocabulary of lower-case words and their pieces from wordings of the recipe.

    The pieces are numbered here, because the trainer numbers letters at the ends of words in another order each time.
    """
    sampler = Sampler(0)
    blank = CLIPTokenizer().backend_tokenizer
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = blank.normalizer, blank.pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        min_frequency=20,
        special_tokens=[START, END],
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    letters = " ".join(string.ascii_lowercase + string.digits)
    tokenizer.train_from_iterator([letters, *(sampler.wording(sampler.request()) for _ in range(_WORDINGS))], trainer)
    merges = [(first, second) for first, second in json.loads(tokenizer.to_str())["model"]["merges"]]
    pieces = [START, END, *alphabet, *(f"{character}</w>" for character in alphabet), *map("".join, merges)]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS)


def new_text_encoder(tokenizer: CLIPTokenizer, *, hidden: int = 96) -> CLIPTextModel:
    """Make an untrained text encoder of two layers; `hidden` is its width, a multiple of 4."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        projection_dim=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=MAX_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def new_autoencoder(*, channels: int = 32) -> AutoencoderTiny:
    """Make an untrained autoencoder: pictures of 3 x height x width, latents of 4 x height/4 x width/4."""
    return AutoencoderTiny(
        latent_channels=CHANNELS,
        encoder_block_out_channels=(channels,) * 3,
        decoder_block_out_channels=(channels,) * 3,
        num_encoder_blocks=(0, 1, 2),
        num_decoder_blocks=(2, 1, 1),
    )


def new_unet(*, hidden: int = 96, channels: tuple[int, int, int] = (32, 64, 96)) -> UNet2DConditionModel:
    """Make an untrained UNet.

    It looks at single words where latents are 8 and 4 wide, and gets the gist of all of them with the timestep, which
    scales and shifts what every block sees.

    Args:
        hidden: width of the text encoder.
        channels: at the three resolutions, multiples of 8.
    """
    return UNet2DConditionModel(
        sample_size=SIZE // DOWN,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        layers_per_block=1,
        block_out_channels=channels,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        cross_attention_dim=hidden,
        attention_head_dim=4,
        resnet_time_scale_shift="scale_shift",
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
    )


def new_scheduler() -> DDIMScheduler:
    """DDIM that starts from pure noise, as training ends with it (https://arxiv.org/abs/2305.08891).

    `steps_offset` does nothing with trailing timesteps; 1 is what the pipeline expects to find.
    """
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
        clip_sample=False,
        steps_offset=1,
    )


def new_pipeline(
    autoencoder: AutoencoderTiny, text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer, unet: UNet2DConditionModel
) -> StableDiffusionPipeline:
    """Put the trained parts together."""
    return StableDiffusionPipeline(
        vae=autoencoder.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def save(pipeline: StableDiffusionPipeline, folder: Path) -> None:
    """Write the whole pipeline in float16, readable for everyone; `save_pretrained` writes weights with mode 0600."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in (pipeline.vae, pipeline.text_encoder, pipeline.unet):
        torch.nn.Module.to(part, torch.float16)
    pipeline.save_pretrained(folder)
    for file in folder.rglob("*.json"):
        _tidy(file)
    for file in folder.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)


def _tidy(file: Path) -> None:
    """Drop local paths, and of the autoencoder what it works out itself and would warn about when it is loaded."""
    unwanted = {"name_or_path", "_name_or_path", "is_local"}
    if file.parent.name == "vae":
        unwanted.add("block_out_channels")
    settings = json.loads(file.read_text(encoding="utf-8"))
    if settings.keys() & unwanted:
        kept = {key: value for key, value in settings.items() if key not in unwanted}
        file.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
