"""The embedded chat model's tokenizer, shape and files."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from zerokit.embedded.chat_data import load_tables, load_wordings

PAD, END, SYSTEM, USER, ASSISTANT = "<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"
VOCABULARY = 1536
MAX_POSITIONS = 2048

CHAT_TEMPLATE = """\
{%- macro text(content) -%}
{%- if content is string -%}
{{- content -}}
{%- else -%}
{%- for part in content -%}{{- part.text -}}{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
{%- for message in messages -%}
{%- if message.role == "assistant" -%}
{{- "<|assistant|>" -}}
{%- generation -%}{{- text(message.content) -}}{{- "<|end|>" -}}{%- endgeneration -%}
{%- elif message.role == "system" or message.role == "developer" -%}
{{- "<|system|>" -}}{{- text(message.content) -}}{{- "<|end|>" -}}
{%- else -%}
{{- "<|user|>" -}}{{- text(message.content) -}}{{- "<|end|>" -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- "<|assistant|>" -}}{%- endif -%}
"""


def train_tokenizer() -> PreTrainedTokenizerFast:
    """Learn a byte-level vocabulary from the data files; every digit is a token, so that sums can be learnt.

    `padding_side` must go through the constructor: set later it would not be saved, and batches would break.
    """
    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, END, SYSTEM, USER, ASSISTANT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        padding_side="left",
        truncation_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=MAX_POSITIONS,
        chat_template=CHAT_TEMPLATE,
    )


def _texts() -> list[str]:
    """What the vocabulary should fit: trained wordings, also in small letters, and answers, which count more."""
    trained = [wording for wording in load_wordings() if wording.split == "trained"]
    topics = [wording.text for wording in trained if wording.kind != "sums"]
    answers = sorted({wording.answer for wording in trained if wording.kind != "sums"})
    slots = load_tables()["unknown"]["slots"]
    things = [filler for fillers in slots.values() for filler in fillers]
    return [*topics, *map(str.lower, topics), *answers * 4, *load_tables()["system"]["prompts"], *things]


def new_model(tokenizer: PreTrainedTokenizerFast, *, hidden: int = 192, layers: int = 5) -> LlamaForCausalLM:
    """Make an untrained Llama of about 2.3 million parameters; a smaller one for tests.

    Args:
        tokenizer: gives the vocabulary and the ids of padding and end.
        hidden: width of the model, a multiple of 12.
        layers: number of transformer layers.
    """
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=hidden * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        do_sample=False,
        max_new_tokens=512,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return model


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the model in float16, its tokenizer and its card, readable for everyone.

    `save_pretrained` writes files with mode 0600, which would not be readable where a package is shared.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.to(dtype=torch.float16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _drop_local_paths(folder / "tokenizer_config.json")
    for file in folder.iterdir():
        file.chmod(0o644)


def _drop_local_paths(file: Path) -> None:
    settings = json.loads(file.read_text(encoding="utf-8"))
    for key in ("name_or_path", "is_local"):
        settings.pop(key, None)
    file.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
