"""What an adapter's files say of themselves, its config and the header of its weights, checked before it is loaded."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zerokit.engines.source import shown
from zerokit.errors import AdapterError

CONFIG = "adapter_config.json"
MAX_RANK = 1024
MAX_BYTES = 2_000_000_000
"""Of one file; the largest adapters of common use have a few hundred megabytes."""
MAX_JSON_BYTES = 1_000_000
MAX_HEADER_BYTES = 16_000_000
MAX_TENSORS = 20_000
MAX_DEPTH = 20
"""Of JSON."""

_PLAIN = (True, False, None, "gaussian", "eva", "orthogonal")
"""Ways to begin a training that leave the base's weights as they were."""
_NOT_UNDERSTOOD = {
    "use_dora": "DoRA",
    "use_qalora": "QALoRA",
    "use_bdlora": "BD-LoRA",
    "alora_invocation_tokens": "activated LoRA",
    "layer_replication": "layers that are repeated",
    "modules_to_save": "layers that were trained along",
    "trainable_token_indices": "tokens that were trained along",
    "target_parameters": "LoRA on bare parameters",
    "lora_bias": "biases that were trained along",
    "arrow_config": "Arrow",
    "kasa_config": "KaSA",
    "monteclora_config": "Monte Carlo LoRA",
    "velora_config": "VeLoRA",
    "megatron_config": "Megatron",
}

_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}
_PATTERN = re.compile(r"\^?[\w.\\-]{1,300}\$?")
"""A layer's name, or its end; peft would take any regular expression, which may run for ever."""
_KEY = re.compile(r"[\w./-]{1,300}")
_NAMED = r"(?:\.lora|\.lora_linear_layer|_lora|(?<=_lora\d))"
"""Before "down" and "up", as diffusers wrote them; at first in names of modules of their own, such as "to_q_lora"."""
_SIDES = (
    ("down", re.compile(rf"(?:\.(?:lora_A|lora_embedding_A|lora_down)|{_NAMED}\.down)(?:\.\w+)??$")),
    ("up", re.compile(rf"(?:\.(?:lora_B|lora_embedding_B|lora_up)|{_NAMED}\.up)(?:\.\w+)??$")),
)
_ALPHA = re.compile(r"\.(?:alpha|lora\.alpha)$")
_COPY = re.compile(r"\.base_layer\.weight$")
"""A copy of the base's embeddings, which peft saves along where they are among the targets."""

Entry = tuple[str, tuple[int, ...], tuple[int, int]]
"""A tensor as a header has it: dtype, shape, and where it begins and ends."""


@dataclass(frozen=True)
class Tensor:
    """A tensor as a header describes it."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Pair:
    """The two matrices of one module: the first (down) narrows to the rank, the second (up) widens from it.

    `down` and `up` are their keys in the file; `shape` is that of the weight which they change: what goes out, what
    goes in, and for a convolution its kernel.
    """

    module: str
    down: str
    up: str
    rank: int
    shape: tuple[int, ...]
    embedding: bool = False


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in a small file.

    Raises:
        AdapterError: it is too large, nested too deeply, or no JSON object.
    """
    try:
        if file.stat().st_size > MAX_JSON_BYTES:
            raise AdapterError(f"{file.name} has {file.stat().st_size:,} bytes; at most {MAX_JSON_BYTES:,} are read.")
        return parse_json(file.read_bytes(), file.name)
    except OSError as exc:
        raise AdapterError(f"{file.name} cannot be read.") from exc


def parse_json(raw: bytes, name: str) -> dict[str, Any]:
    """The JSON object in `raw`.

    Raises:
        AdapterError: it is nested too deeply, or no JSON object.
    """
    try:
        said = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as exc:
        raise AdapterError(f"{name} is not valid JSON, or nested too deeply.") from exc
    if not isinstance(said, dict):
        raise AdapterError(f"{name} is no JSON object.")
    if _depth(said) > MAX_DEPTH:
        raise AdapterError(f"{name} is nested more than {MAX_DEPTH} deep.")
    return said


def _depth(value: Any, most: int = MAX_DEPTH + 1) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max((_depth(item, most - 1) for item in inside), default=0) if most > 0 else 1


def read_config(file: Path) -> dict[str, Any]:
    """An adapter_config.json, checked.

    Raises:
        AdapterError: it is damaged, not of a LoRA adapter, or of a kind of LoRA that is not understood.
    """
    return check_config(read_json(file))


def check_config(config: dict[str, Any]) -> dict[str, Any]:
    """What peft keeps of how an adapter was trained.

    Raises:
        AdapterError: it is not of a LoRA adapter, or of a kind of LoRA that is not understood.
    """
    if str(config.get("peft_type")).upper() != "LORA":
        raise AdapterError(f"The adapter is of type {shown(config.get('peft_type'))}, and only LoRA is understood.")
    for name, what in _NOT_UNDERSTOOD.items():
        if config.get(name):
            raise AdapterError(f"The adapter uses {what} ({name}), which is not understood: only plain LoRA is.")
    if config.get("bias", "none") != "none":
        raise AdapterError("The adapter changes biases of its base (bias), which only merging could do.")
    begun = config.get("init_lora_weights", True)
    if not any(begun is plain or begun == plain for plain in _PLAIN):
        raise AdapterError(f"The adapter was begun with {shown(begun)}, which changes the base's own weights.")
    patterns = config.get("alpha_pattern") or {}
    if not isinstance(patterns, dict) or not all(_PATTERN.fullmatch(pattern) for pattern in patterns):
        raise AdapterError(f"alpha_pattern in {CONFIG} is not understood: only names of layers are.")
    numbers = {"r": config.get("r", 8), "lora_alpha": config.get("lora_alpha", 8)} | patterns
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1e6:
            raise AdapterError(f"{shown(name)} is {shown(value)} in {CONFIG}, and must be a number above 0.")
    return config


def alpha_of(module: str, config: Mapping[str, Any]) -> float:
    """The alpha of a layer: that of the first of the config's patterns which its name ends with, as peft has it."""
    for pattern, alpha in (config.get("alpha_pattern") or {}).items():
        name = pattern.strip("^$").replace("\\.", ".")
        if module == name or (module.endswith(f".{name}") and not pattern.startswith("^")):
            return float(alpha)
    return float(config.get("lora_alpha", 8))


def read_header(file: Path) -> dict[str, Tensor]:
    """The tensors that a safetensors file says it has; nothing else of it is read.

    Raises:
        AdapterError: it is no safetensors file, or not whole.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if size < 10 or length > min(size - 8, MAX_HEADER_BYTES):
                raise AdapterError(f"{shown(file.name)} is no safetensors file, or only a part of one.")
            said = parse_json(opened.read(length), f"The header of {shown(file.name)}")
    except OSError as exc:
        raise AdapterError(f"{shown(file.name)} cannot be read, or is no longer there.") from exc
    said.pop("__metadata__", None)
    return checked_header({str(key): _entry(key, value) for key, value in said.items()}, size - 8 - length)


def _entry(key: str, value: Any) -> Entry:
    try:
        start, end = value["data_offsets"]
        return str(value["dtype"]), tuple(value["shape"]), (start, end)
    except (KeyError, TypeError, ValueError) as exc:
        raise AdapterError(f"The header does not describe the tensor {shown(key)!r} as it must.") from exc


def checked_header(said: Mapping[str, Entry], data_bytes: int) -> dict[str, Tensor]:
    """Tensors by key.

    Args:
        said: by key.
        data_bytes: what the file holds beside its header.

    Raises:
        AdapterError: a key, dtype, shape or place is none that an adapter has.
    """
    if len(said) > MAX_TENSORS:
        raise AdapterError(f"The file has {len(said):,} tensors; an adapter has at most {MAX_TENSORS:,}.")
    for key, (dtype, shape, place) in said.items():
        if not _KEY.fullmatch(key):
            raise AdapterError(f"The file has a tensor with a name that no model has: {shown(ascii(key))}.")
        if dtype not in _BYTES:
            raise AdapterError(f"The tensor {shown(key)} is of type {shown(dtype)}, and no floating point number.")
        if len(shape) > 6 or not all(type(number) is int and 0 <= number < 2**40 for number in (*shape, *place)):
            raise AdapterError(f"The tensor {shown(key)} has a shape or a place that no tensor has.")
        if place[1] - place[0] != math.prod(shape) * _BYTES[dtype]:
            raise AdapterError(f"The tensor {shown(key)} does not have the size that its shape says.")
    total = 0
    for start, end in sorted(place for _, _, place in said.values()):
        if start != total:
            raise AdapterError("The tensors of the file overlap, or there are gaps between them.")
        total = end
    if total != data_bytes:
        raise AdapterError(f"The file should hold {total:,} bytes of weights, and holds {data_bytes:,}: it is damaged.")
    return {key: Tensor(dtype, shape) for key, (dtype, shape, _) in said.items()}


def pairs(header: Mapping[str, Tensor]) -> tuple[Pair, ...]:
    """The pairs of matrices in a header, by module, in alphabetical order.

    All of the usual ways to write them are known: those of peft, diffusers and kohya.

    Raises:
        AdapterError: there is none, one lacks its other half, the halves do not fit, the rank is too large, or there
            are tensors that belong to no pair.
    """
    halves: dict[str, dict[str, str]] = {}
    strangers = []
    for key in header:
        side, module = _side(key)
        if side is None and not _ALPHA.search(key) and not _COPY.search(key):
            strangers.append(key)
        elif side is not None and halves.setdefault(module, {}).setdefault(side, key) != key:
            raise AdapterError(f"The module {shown(module)} has its {side} matrix twice.")
    if not halves:
        raise AdapterError("The file has no LoRA matrices: it is a model or something else, not an adapter.")
    if strangers:
        raise AdapterError(
            f"The file has {len(strangers):,} tensors that are no LoRA matrices, such as {shown(strangers[0])}: "
            "only plain LoRA is understood, without DoRA or layers that were trained along."
        )
    return tuple(_pair(module, halves[module], header) for module in sorted(halves))


def _side(key: str) -> tuple[str | None, str]:
    stem = key.removesuffix(".weight")
    for side, pattern in _SIDES:
        match = pattern.search(stem)
        if match:
            return side, stem[: match.start()].removeprefix("base_model.model.")
    return None, ""


def _pair(module: str, keys: Mapping[str, str], header: Mapping[str, Tensor]) -> Pair:
    if len(keys) < 2:
        raise AdapterError(f"The module {shown(module)} has only one of its two LoRA matrices.")
    down, up = header[keys["down"]].shape, header[keys["up"]].shape
    if len(down) < 2 or len(up) != len(down) or down[0] != up[1] or min(*down, *up) < 1:
        raise AdapterError(f"The LoRA matrices of {shown(module)} do not fit each other: {list(down)} and {list(up)}.")
    if down[0] > MAX_RANK:
        raise AdapterError(f"The adapter has rank {down[0]:,}, and at most {MAX_RANK:,} is allowed.")
    embedding = ".lora_embedding_" in keys["down"]
    shape = (down[1], up[0]) if embedding else (up[0], *down[1:])
    return Pair(module, keys["down"], keys["up"], down[0], shape, embedding)
