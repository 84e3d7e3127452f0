"""A pipeline that makes pictures, checked as far as can be before its weights are fetched."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers.utils.deprecation_utils import _maybe_remap_transformers_class
from huggingface_hub import metadata_load

from zerokit.engines import placement
from zerokit.engines.source import PICKLES, Source, find, listed, shown
from zerokit.errors import ModelError, NoWeights, RemoteCode, UnsafeWeights
from zerokit.requests import ImageMode

INDEX = "model_index.json"
_STEMS = ("diffusion_pytorch_model", "model")
_SMALL = (".json", ".txt", ".model", ".jinja", ".tiktoken")


@dataclass(frozen=True)
class Loaded:
    """A pipeline on the CPU, in its load dtype."""

    name: str
    pipe: Any
    """For text to image."""
    classes: Mapping[ImageMode, Any]
    """The pipeline class of each mode that diffusers knows for its family."""
    card: Mapping[str, Any]
    """`inference: parameters` of its card."""


@contextmanager
def quiet() -> Iterator[None]:
    """Let diffusers and transformers speak of errors only, while the block runs."""
    talkers = (diffusers.utils.logging, transformers.utils.logging)
    before = [(talker.get_verbosity(), talker.is_progress_bar_enabled()) for talker in talkers]
    for talker in talkers:
        talker.set_verbosity(logging.ERROR)
        talker.disable_progress_bar()
    try:
        yield
    finally:
        for talker, (verbosity, bars) in zip(talkers, before, strict=True):
            talker.set_verbosity(verbosity)
            if bars:
                talker.enable_progress_bar()


def load(
    model: str | Path,
    *,
    revision: str | None,
    token: str | None,
    dtype: placement.LoadDtype,
    quantization: Any,
    trust_remote_code: bool,
) -> Loaded:
    """Find a pipeline, check it, and load it; the checks come first, the weights last.

    Raises:
        ModelError: it cannot be used; a subclass where the reason is a common one.
    """
    source = find(model, "image", revision=revision, token=token)
    if INDEX not in source.files:
        raise _no_pipeline(source)
    index = source.json(INDEX)
    with quiet():
        classes = _classes(source, index, trust_remote_code)
        names, variant = _files(source, index, classes["text"], dtype)
        card = _card(source)
        folder = source.fetch(names)
        pipe = _pipeline(source, folder, classes["text"], variant, dtype, quantization)
    return Loaded(source.name, pipe, classes, card)


def _no_pipeline(source: Source) -> ModelError:
    """What it is instead."""
    if "adapter_config.json" in source.files:
        base = shown(source.json("adapter_config.json").get("base_model_name_or_path", "its base model"))
        return ModelError(f'"{source.name}" is an adapter. Load {base}, and add the adapter to it.')
    if "config.json" in source.files:
        config = source.json("config.json")
        if config.get("_class_name"):
            return ModelError(f'"{source.name}" is one part of a pipeline ({shown(config["_class_name"])}).')
        if any("CausalLM" in str(name) for name in config.get("architectures") or ()):
            return ModelError(f'"{source.name}" writes text. Use it with ZeroChat.')
        return ModelError(f'"{source.name}" is a {shown(config.get("model_type", "transformers"))} model, no pipeline.')
    single = [name for name in source.files if "/" not in name and name.endswith((".safetensors", *PICKLES))]
    if any("lora" in name.lower() for name in single):
        return ModelError(f'"{source.name}" is an adapter: {listed(sorted(single))} Load its base model first.')
    if single:
        return ModelError(
            f'"{source.name}" is a single-file checkpoint: {listed(sorted(single))} Choose a repository in the '
            f"diffusers format, with a {INDEX}, or convert it."
        )
    if any(name.endswith(".gguf") for name in source.files):
        return NoWeights(f'"{source.name}" holds GGUF files, which are for other programs.')
    return NoWeights(f'"{source.name}" has no {INDEX} among its {len(source.files)} files.')


def _classes(source: Source, index: dict[str, Any], trust_remote_code: bool) -> dict[ImageMode, Any]:
    """The pipeline class of each mode."""
    from diffusers.pipelines import auto_pipeline as auto

    name = index.get("_class_name")
    if isinstance(name, list) or (isinstance(name, str) and not hasattr(diffusers, name) and _own_code(source)):
        if not trust_remote_code:
            raise RemoteCode(f'"{source.name}" can only be loaded with code of its own.')
        raise ModelError(f'"{source.name}" is a pipeline with code of its own, which ZeroKit cannot drive.')
    if not isinstance(name, str):
        raise ModelError(f'{INDEX} of "{source.name}" names no pipeline.')
    if not hasattr(diffusers, name):
        raise ModelError(
            f'"{source.name}" is a {shown(name)}, which diffusers {diffusers.__version__} does not know. '
            "A newer version may."
        )
    tasks: dict[ImageMode, Any] = {
        "text": auto.AUTO_TEXT2IMAGE_PIPELINES_MAPPING,
        "image": auto.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING,
        "inpaint": auto.AUTO_INPAINT_PIPELINES_MAPPING,
    }
    found = {mode: auto._get_task_class(task, name, throw_error_if_not_exist=False) for mode, task in tasks.items()}
    classes: dict[ImageMode, Any] = {mode: cls for mode, cls in found.items() if cls is not None}
    if "text" not in classes:
        raise ModelError(f'"{source.name}" is a {shown(name)}, which does not make pictures from a prompt.')
    takes = inspect.signature(classes["text"].__call__).parameters
    if "num_frames" in takes or "control_image" in takes or "Control" in name:
        raise ModelError(f'"{source.name}" is a {shown(name)}, which needs more than a prompt or makes videos.')
    return classes


def _own_code(source: Source) -> bool:
    return any(name.endswith(".py") for name in source.files)


def _files(source: Source, index: dict[str, Any], cls: Any, dtype: placement.LoadDtype) -> tuple[list[str], str | None]:
    """The files that the pipeline needs, and the variant that its weights are there in."""
    small, weights = [INDEX], []
    for name, said in index.items():
        if name.startswith("_") or not isinstance(said, list) or len(said) != 2 or not said[0] or not said[1]:
            continue
        small += [file for file in source.files if file.startswith(f"{name}/") and file.endswith(_SMALL)]
        if _is_module(source, name, str(said[0]), str(said[1])):
            weights.append(name)
    small = [file for file in small if not file.endswith(".index.json") and ".index." not in file]
    if dtype is torch.float16:
        halves = {name: _weights(source, name, "fp16") for name in weights}
        if all(halves.values()) and halves:
            return small + [file for files in halves.values() for file in files or ()], "fp16"
    for name in weights:
        files = _weights(source, name, None)
        if files is None:
            raise _no_weights(source, name)
        small += files
    return small, None


def _is_module(source: Source, name: str, library: str, cls: str) -> bool:
    """Whether a component of the pipeline has weights."""
    home = {"diffusers": diffusers, "transformers": transformers}.get(library)
    home = home or getattr(diffusers.pipelines, library, None)
    if home is None:
        raise RemoteCode(f'The {name} of "{source.name}" can only be loaded with code of its own ({shown(library)}).')
    if library == "transformers":
        # Old repositories name classes that transformers 5 has no more; diffusers knows their successors.
        cls = _maybe_remap_transformers_class(cls) or cls
    found = getattr(home, cls, None)
    if found is None:
        raise ModelError(
            f'"{source.name}" needs {shown(cls)}, which {shown(library)} does not know here. A newer version may.'
        )
    return isinstance(found, type) and issubclass(found, torch.nn.Module)


def _weights(source: Source, folder: str, variant: str | None) -> list[str] | None:
    """The safetensors files of a component, with their index where they are several; None where there are none.

    Raises:
        NoWeights: not all that the index names are there.
    """
    for stem in _STEMS:
        middle = f".{variant}" if variant else ""
        index = f"{folder}/{stem}.safetensors.index{middle}.json"
        if index in source.files:
            map_ = source.json(index).get("weight_map")
            shards = sorted({f"{folder}/{name}" for name in map_.values()}) if isinstance(map_, dict) else []
            missing = [shard for shard in shards if shard not in source.files]
            if missing or not shards:
                raise NoWeights(
                    f'"{source.name}" lacks {len(missing)} of {len(shards)} weight files: {listed(missing)}'
                )
            return [index, *shards]
        whole = f"{folder}/{stem}{middle}.safetensors"
        if whole in source.files:
            return [whole]
    return None


def _no_weights(source: Source, folder: str) -> ModelError:
    inside = sorted(file for file in source.files if file.startswith(f"{folder}/"))
    pickles = [file for file in inside if file.endswith(PICKLES)]
    if pickles:
        return UnsafeWeights(f'The weights of "{source.name}" are pickle files only: {listed(pickles)}')
    other = [file for file in inside if file.endswith(".safetensors")]
    if other:
        return NoWeights(f'"{source.name}" has weights only as {listed(other)} dtype="float16" may take them.')
    return NoWeights(f'The {folder} of "{source.name}" has no safetensors. Its files: {listed(inside)}')


def _card(source: Source) -> Mapping[str, Any]:
    """What the model's card recommends; empty where it says nothing that can be read."""
    if "README.md" not in source.files:
        return {}
    try:
        said: Any = metadata_load(source.fetch(["README.md"]) / "README.md")
    except Exception as exc:  # noqa: BLE001 - whatever its author wrote, the model can be used without it
        logging.getLogger(__name__).debug("The card of %s cannot be read: %s", source.name, exc)
        return {}
    for name in ("inference", "parameters"):
        said = said.get(name) if isinstance(said, dict) else None
    return said if isinstance(said, dict) else {}


def _pipeline(
    source: Source, folder: Path, cls: Any, variant: str | None, dtype: placement.LoadDtype, quantization: Any
) -> Any:
    settings: dict[str, Any] = {} if quantization is None else {"quantization_config": quantization}
    try:
        with warnings.catch_warnings():
            for kind in (FutureWarning, DeprecationWarning, UserWarning):
                warnings.simplefilter("ignore", kind)
            pipe = cls.from_pretrained(
                str(folder), dtype=dtype, variant=variant, use_safetensors=True, local_files_only=True, **settings
            )
    except Exception as exc:
        raise _explained(source, exc) from exc
    for name, part in pipe.components.items():
        if isinstance(part, torch.nn.Module):
            bare = [key for key, tensor in part.named_parameters() if tensor.is_meta]
            if bare:
                raise NoWeights(
                    f'The weights of the {name} of "{source.name}" lack {len(bare)} tensors, such as {bare[0]}.'
                )
            part.eval()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _explained(source: Source, exc: Exception) -> ModelError:
    """What stopped diffusers from loading the pipeline, in one sentence."""
    said = str(exc)
    first = next((line for line in said.splitlines() if line.strip()), "no reason given")
    if "trust_remote_code" in said:
        return RemoteCode(f'"{source.name}" can only be loaded with code of its own.')
    if isinstance(exc, ImportError):
        return ModelError(f'"{source.name}" needs a package that is not installed: {shown(first)}')
    return ModelError(
        f'"{source.name}" cannot be loaded: {type(exc).__name__}, {shown(first)}. '
        "The files may be damaged, or not fully there."
    )
