"""A chat whose model has random weights and never comes to an end."""

import sys
import tempfile
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parents[2] / "unit"))
import tiny_text

from zerokit import ZeroChat

tokens = tiny_text.tokenizer(context=65_536)
model = tiny_text.random_model(tokens, max_position_embeddings=65_536)
with torch.no_grad():
    model.lm_head.weight[tokens.eos_token_id] = 0
folder = tiny_text.save(Path(tempfile.mkdtemp()), tokens, model)
demo = ZeroChat(str(folder), max_new_tokens=32_000, temperature=0)

if __name__ == "__main__":
    demo.launch()
