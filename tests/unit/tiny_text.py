"""Tiny chat models for tests: the real classes, and answers that are known beforehand."""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

torch.set_num_threads(1)  # threads cost far more than they save on models of this size

END = "<|im_end|>"
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer(template: str | None = CHATML, *, context: int = 256) -> PreTrainedTokenizerFast:
    """One token for each byte, and those of ChatML and of reasoning."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={byte: i for i, byte in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=END,
        pad_token="<|pad|>",
        additional_special_tokens=["<|im_start|>"],
        model_max_length=context,
        padding_side="left",
    )
    made.add_tokens([AddedToken("<think>", special=False), AddedToken("</think>", special=False)])
    made.chat_template = template
    return made


def config(tokens: PreTrainedTokenizerFast, **settings) -> LlamaConfig:
    size = len(tokens)
    values = dict(
        vocab_size=size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        eos_token_id=tokens.eos_token_id,
        pad_token_id=tokens.pad_token_id,
        bos_token_id=None,
    )
    return LlamaConfig(**(values | settings))


def random_model(tokens: PreTrainedTokenizerFast, **settings) -> LlamaForCausalLM:
    """Weights from a fixed seed: it babbles, and depends on all it has read."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LlamaForCausalLM(config(tokens, initializer_range=0.2, **settings)).eval()


def scripted_model(tokens: PreTrainedTokenizerFast, answer: str, *, after: str = "\n") -> LlamaForCausalLM:
    """Says `answer` and ends, whenever a prompt ends with `after`: each token is followed by the same one always.

    One-hot embeddings, layers that add nothing, and an output matrix that is the table of successors. So no token may
    be twice in `answer`.
    """
    size = len(tokens)
    hidden = size + (-size) % 4
    model = LlamaForCausalLM(config(tokens, hidden_size=hidden, num_hidden_layers=1, tie_word_embeddings=False))
    chain = [
        *tokens.encode(after, add_special_tokens=False)[-1:],
        *tokens.encode(answer, add_special_tokens=False),
    ]
    chain.append(tokens.eos_token_id)
    assert len(set(chain)) == len(chain), "a token is twice in the answer"
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(torch.eye(size, hidden))
        layer = model.model.layers[0]
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
        model.lm_head.weight.zero_()
        for token, following in itertools.pairwise(chain):
            model.lm_head.weight[following, token] = 10.0
    return model.eval()


def save(folder: Path, tokens: PreTrainedTokenizerFast, model: LlamaForCausalLM) -> Path:
    model.to(torch.float16).save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder
