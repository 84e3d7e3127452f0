"""Rules about tokens, other people's code and pickles."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..findings import Spot
from ..reading import CannotRead, read_text, text_files
from ..rule import rule
from ..source import is_true, keyword, line_of, text_of
from ..space import Space

_TOKENS = {
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{30,}\b",
    "an OpenAI key": r"\bsk-(?:proj-)?[A-Za-z0-9_-]{32,}\b",
    "a GitHub token": r"\b(?:ghp|gho|ghs)_[A-Za-z0-9]{36}\b|\bgithub_pat_[A-Za-z0-9_]{60,}\b",
    "an AWS key": r"\bAKIA[0-9A-Z]{16}\b",
}
_TEXTS = (".py", ".md", ".txt", ".toml", ".yaml", ".yml", ".json", ".env", ".ini", ".cfg", ".sh", ".ipynb", ".js")
_PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle")
_LOADING = ("from_pretrained", "from_single_file", "load_lora_weights", "load_textual_inversion", "load_ip_adapter")
_EXAMPLE = "hf_" + "aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zAbCd"
_APP = """import os

import spaces
import torch
from huggingface_hub import login

login({token})


@spaces.GPU(duration=5)
def add(a, b):
    return (torch.tensor(a).cuda() + b).item()
"""
_MODEL = """import spaces
import torch
from diffusers import DiffusionPipeline
from transformers import AutoModel

model = AutoModel.from_pretrained("someone/model"{more}).to("cuda")


@spaces.GPU(duration=5)
def size(text):
    return sum(parameter.numel() for parameter in model.parameters())
"""


@rule(
    "ZK501",
    "error",
    "A token is in the files",
    why="The files of a public Space can be read by everybody, and so can its history. Whoever finds a token "
    "there can use it.",
    advice="Revoke it where it was made. Keep the new one as a secret in the Space's settings, and read it with "
    "`os.environ`.",
    wrong=_APP.format(token=f'"{_EXAMPLE}"'),
    right=_APP.format(token='os.environ["HF_TOKEN"]'),
)
def tokens(space: Space) -> Iterator[Spot]:
    for name in text_files(space.folder, _TEXTS):
        try:
            text = read_text(space.folder, name)
        except CannotRead:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            for what, pattern in _TOKENS.items():
                if any(_is_real(match[0]) for match in re.finditer(pattern, line)):
                    yield Spot(name, number, f"It looks like {what}.")


@rule(
    "ZK502",
    "warning",
    "The model may bring its own code",
    why="With `trust_remote_code=True` the Space runs what is in the model's repository, today's and tomorrow's, with "
    "the Space's secrets in reach.",
    advice="Leave it out where the library knows the model; else read that code and name its commit with `revision=`.",
    wrong=_MODEL.format(more=", trust_remote_code=True"),
    right=_MODEL.format(more=""),
)
def remote_code(space: Space) -> Iterator[Spot]:
    for module in space.program.modules:
        for call, _ in space.program.calls(module):
            if is_true(keyword(call, "trust_remote_code")) and not _is_commit(text_of(keyword(call, "revision"))):
                yield Spot(module.path, line_of(call), "Code from the model's repository is run.")


@rule(
    "ZK503",
    "warning",
    "Weights are read from a pickle",
    why="A pickle runs code when it is opened. Safetensors hold numbers only.",
    advice="Take the safetensors file of the same model, or convert it on the Hub. For `torch.load`: "
    "`weights_only=True`.",
    wrong=_MODEL.format(more=", use_safetensors=False"),
    right=_MODEL.format(more=", use_safetensors=True"),
)
def pickles(space: Space) -> Iterator[Spot]:
    for module in space.program.modules:
        for call, full in space.program.calls(module):
            if full == "torch.load" and getattr(keyword(call, "weights_only"), "value", None) is False:
                yield Spot(module.path, line_of(call), "`torch.load` is told to run what is in the file.")
            name = full.rpartition(".")[2] or getattr(call.func, "attr", "")
            if name not in _LOADING:
                continue
            if getattr(keyword(call, "use_safetensors"), "value", None) is False:
                yield Spot(module.path, line_of(call), "Safetensors are refused here.")
            given = [text_of(node) or "" for node in (*call.args, keyword(call, "weight_name"))]
            for path in given:
                if path.lower().endswith(_PICKLES):
                    yield Spot(module.path, line_of(call), f"`{path[-60:]}` is a pickle.")


def _is_real(token: str) -> bool:
    """Whether a token is no stand-in such as hf_xxxx: it has letters and figures in some variety."""
    body = token.partition("_")[2] or token[3:]
    return len(set(body)) >= 10 and any(c.isdigit() for c in body) and any(c.isalpha() for c in body)


def _is_commit(revision: str | None) -> bool:
    return bool(revision) and re.fullmatch(r"[0-9a-f]{7,40}", revision or "") is not None
