"""What the benchmark of adapters is made of: a chat model that never ends an answer, and adapters for images."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import peft
import torch
from diffusers import StableDiffusionPipeline
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from zerokit import embedded

RANK = 8
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


def endless_chat(folder: Path) -> Path:
    """The embedded chat model, but for a score of 0 for the end of an answer: it goes on as long as it is let."""
    shutil.copytree(embedded.path("chat"), folder)
    weights = load_file(folder / "model.safetensors")
    end = AutoTokenizer.from_pretrained(folder).eos_token_id
    weights["model.embed_tokens.weight"][end] = 0
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def image_adapters(folder: Path) -> tuple[str, str]:
    """Two for the embedded image model: those that come with it, else two with random weights."""
    known = [name for name in embedded.adapter_names() if name.startswith("image-")]
    if len(known) > 1:
        return str(embedded.path(known[0])), str(embedded.path(known[1]))
    return _random(folder / "one", 1), _random(folder / "two", 2)


def other_chat_adapters(folder: Path, count: int) -> list[str]:
    """More adapters for the chat model, with random weights, so that many are loaded."""
    found = []
    for number in range(count):
        torch.manual_seed(number)
        source = embedded.path("chat-pirate")
        target = folder / f"other-{number}"
        shutil.copytree(source, target)
        file = target / "adapter_model.safetensors"
        tensors = {name: 0.01 * torch.randn(tensor.shape).half() for name, tensor in load_file(file).items()}
        save_file(tensors, file, {"format": "pt"})
        found.append(str(target))
    return found


def chat_by_hand(folder: Path) -> Any:
    """The base as transformers loads it."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def pipeline_by_hand() -> Any:
    """The embedded image pipeline as diffusers loads it."""
    pipe = StableDiffusionPipeline.from_pretrained(embedded.path("image"), torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _random(folder: Path, seed: int) -> str:
    torch.manual_seed(seed)
    unet = pipeline_by_hand().unet
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft.inject_adapter_in_model(peft.LoraConfig(r=RANK, lora_alpha=RANK, target_modules=list(ATTENTION)), unet)
    for name, weights in unet.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weights, std=0.05)
    matrices = {
        key: value.detach().half() for key, value in get_peft_model_state_dict(unet, adapter_name="default").items()
    }
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=matrices)
    return str(folder)
