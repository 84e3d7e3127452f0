"""Adapters of image models in the many ways in which they are written, brought into one by diffusers."""

from __future__ import annotations

import inspect
import math
import re
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.utils import (
    convert_state_dict_to_diffusers,
    convert_state_dict_to_peft,
    convert_unet_state_dict_to_peft,
)

from zerokit.engines.adapter_files import Pair, Tensor, alpha_of, check_config, pairs
from zerokit.engines.image_loading import quiet
from zerokit.engines.lora_layers import Matrices
from zerokit.engines.shelf import Adapter, said_of
from zerokit.engines.source import shown
from zerokit.errors import AdapterError, AdapterMismatch

MAX_ALPHA = 1e6
_ALPHA = re.compile(r"(\.lora_A)?(\.weight)?\.alpha$")
_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, AssertionError, NotImplementedError, RuntimeError)
"""What diffusers raises where a file is not as it expects."""


@dataclass(frozen=True)
class Part:
    """What an adapter changes in one of a pipeline's models."""

    pairs: tuple[Pair, ...]
    """By the model's own names of its modules."""
    matrices: tuple[Matrices, ...]


@dataclass(frozen=True)
class _Taken:
    """What diffusers would load into one model."""

    model: torch.nn.Module
    prefix: str
    is_text: bool
    tensors: Mapping[str, torch.Tensor]
    alphas: Mapping[str, Any]
    metadata: Mapping[str, Any]


def convert(adapter: Adapter, pipe: Any, base_name: str) -> dict[str, Part]:
    """What an adapter changes in a pipeline, by the names of the pipeline's models ("unet", "text_encoder", ...).

    Nothing is put into the pipeline.

    Args:
        adapter: from `find_adapter`.
        pipe: one that diffusers can load adapters into.
        base_name: of the model, for messages.

    Raises:
        AdapterMismatch: it has layers that are not of such a pipeline.
        AdapterError: its file is damaged, or its weights are not finite.
    """
    adapter.pairs()  # the file may be another than the one that was looked at before
    said = said_of(adapter, base_name)
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            taken = _taken(adapter, pipe)
            own = {name: _as_peft(one) for name, one in taken.items()}
    except (*_UNREADABLE, OSError, RecursionError) as exc:
        raise AdapterMismatch(f"{said}, a {type(pipe).__name__}, which cannot read its layers.") from exc
    lost = _lost(taken)
    if lost:
        raise AdapterMismatch(f"{said}, a {type(pipe).__name__}, which has no place for {shown(lost)}.")
    parts = {name: _part(adapter, one, own[name]) for name, one in taken.items()}
    return {name: part for name, part in parts.items() if part.pairs}


def _taken(adapter: Adapter, pipe: Any) -> dict[str, _Taken]:
    """Let diffusers load the adapter into a likeness of the pipeline, and take what it would put into each model."""
    taken: dict[str, _Taken] = {}
    models = {id(part): name for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}

    def taking(method: str) -> Callable[..., None]:
        signature = inspect.signature(getattr(type(pipe), method))
        model = method.removeprefix("load_lora_into_")

        def take(*args: Any, **more: Any) -> None:
            given = signature.bind(*args, **more).arguments
            into, metadata = given.get(model), given.get("metadata")
            if isinstance(into, torch.nn.Module) and id(into) in models:
                taken[models[id(into)]] = _Taken(
                    into,
                    given.get("prefix") or model,
                    model == "text_encoder",
                    given["state_dict"],
                    given.get("network_alphas") or {},
                    metadata if isinstance(metadata, Mapping) else {},
                )

        return take

    methods = [name for name in dir(type(pipe)) if name.startswith("load_lora_into_")]
    likeness = type(
        type(pipe).__name__,
        (type(pipe),),
        {
            **{name: staticmethod(taking(name)) for name in methods},
            # Flux widens its own layers for some adapters, and those would stay so.
            "_maybe_expand_transformer_param_shape_or_error_": lambda *_, **__: False,
        },
    )
    instance: Any = object.__new__(likeness)
    instance.__dict__.update(pipe.__dict__)
    instance.load_lora_weights(str(adapter.file), local_files_only=True, use_safetensors=True, adapter_name="taken")
    return taken


def _lost(taken: Mapping[str, _Taken]) -> str | None:
    """A tensor that would go nowhere."""
    prefixes = tuple(f"{one.prefix}." for one in taken.values())
    return next((key for one in taken.values() for key in one.tensors if not key.startswith(prefixes)), None)


def _part(adapter: Adapter, taken: _Taken, own: dict[str, Any]) -> Part:
    said = {key: own.pop(key) for key in list(own) if _ALPHA.search(key)}
    layers = pairs({key: Tensor("F32", tuple(value.shape)) for key, value in own.items()}) if own else ()
    alpha = _alphas(said, adapter, taken)
    matrices = tuple(
        Matrices(layer.module, _finite(own[layer.down], adapter), _finite(own[layer.up], adapter), alpha(layer))
        for layer in layers
    )
    return Part(layers, matrices)


def _own(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {key.removeprefix(f"{prefix}."): value for key, value in values.items() if key.startswith(f"{prefix}.")}


def _as_peft(taken: _Taken) -> dict[str, Any]:
    """Matrices and alphas by peft's keys, as `load_lora_adapter` and `_load_lora_into_text_encoder` of diffusers make
    them."""
    own = _own(taken.tensors, taken.prefix)
    if not own:
        return {}
    is_plain = not taken.is_text and "lora_A" in next(iter(own))
    own |= _own(taken.alphas, taken.prefix)
    if not taken.is_text:
        return own if is_plain else convert_unet_state_dict_to_peft(own)
    own = convert_state_dict_to_peft(convert_state_dict_to_diffusers(own))
    if hasattr(taken.model, "text_model"):
        return own
    return {key.removeprefix("text_model."): value for key, value in own.items()}


def _alphas(said: Mapping[str, Any], adapter: Adapter, taken: _Taken) -> Callable[[Pair], float]:
    """How strongly the matrices of each module act.

    As the file says for each module; where it says it only for others, as for most of them. Else as the config in it
    or beside it says; else as they are.
    """
    own = {_ALPHA.sub("", key): _alpha(value, adapter) for key, value in said.items()}
    if own:
        common = Counter(own.values()).most_common()[0][0]
        return lambda layer: own.get(layer.module, common)
    said_too = _own(taken.metadata, taken.prefix)
    config = check_config(said_too) if said_too else adapter.config()
    if not config:
        return lambda layer: float(layer.rank)
    root = bool(config.get("use_rslora"))
    return lambda layer: alpha_of(layer.module, config) * (math.sqrt(layer.rank) if root else 1)


def _alpha(said: Any, adapter: Adapter) -> float:
    try:
        alpha = float(said)
    except (TypeError, ValueError, RuntimeError) as exc:
        raise AdapterError(f'An alpha of the adapter "{adapter.name}" is no number.') from exc
    if not -MAX_ALPHA <= alpha <= MAX_ALPHA:
        raise AdapterError(f'An alpha of the adapter "{adapter.name}" is {alpha:g}, which cannot be.')
    return alpha


def _finite(matrix: torch.Tensor, adapter: Adapter) -> torch.Tensor:
    if not matrix.float().isfinite().all():
        raise AdapterError(f'The adapter "{adapter.name}" has weights that are not finite.')
    return matrix
