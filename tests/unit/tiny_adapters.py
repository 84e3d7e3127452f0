"""Tiny LoRA adapters for tests, as peft saves them: random weights that change what a model says."""

from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path

import peft
import torch

LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def save(folder: Path, model, *, seed: int = 1, base: str = "embedded", strength: float = 0.3, **settings) -> Path:
    """An adapter for `model`, which stays as it is."""
    values = {"r": 4, "lora_alpha": 4, "target_modules": list(LINEAR), "task_type": "CAUSAL_LM"} | settings
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of peft, while it trains
        torch.manual_seed(seed)
        adapted = peft.get_peft_model(copy.deepcopy(model).float(), peft.LoraConfig(**values))
        for name, weights in adapted.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(weights, std=strength)
        adapted.half().save_pretrained(folder)
    change(folder, base_model_name_or_path=base)
    return folder


def change(folder: Path, **values) -> Path:
    """Write other values into its adapter_config.json."""
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
    return folder
