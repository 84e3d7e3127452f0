"""Models with random weights, made on the spot: of any size, and never at their end before the last token asked for."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

END = "<|im_end|>"
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VOCABULARY = 8_000
CONTEXT = 4_096


def make(folder: Path, *, hidden: int, layers: int, dtype: torch.dtype = torch.float16) -> Path:
    """Save a Llama with `layers` layers of width `hidden` (a multiple of 64), and its tokenizer, in `folder`."""
    logging.disable_progress_bar()
    tokens = _tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=hidden,
        intermediate_size=hidden * 3,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=hidden // 64,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        eos_token_id=tokens.eos_token_id,
        pad_token_id=tokens.pad_token_id,
        bos_token_id=None,
        initializer_range=0.05,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        # A score of 0 is never the highest of thousands of random ones: no answer ends by itself.
        model.lm_head.weight[tokens.eos_token_id] = 0.0
    model.to(dtype).save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder


def weight_bytes(folder: Path) -> int:
    """Bytes of the weights in `folder`."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def _tokenizer() -> PreTrainedTokenizerFast:
    """One token for each byte, and made-up words, so that what the model babbles can be decoded."""
    pieces = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces += [f"Ġw{number}" for number in range(VOCABULARY - len(pieces) - 3)]
    backend = Tokenizer(models.BPE(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=END,
        pad_token="<|pad|>",
        additional_special_tokens=["<|im_start|>"],
        model_max_length=CONTEXT,
        padding_side="left",
    )
    made.chat_template = CHATML
    return made
