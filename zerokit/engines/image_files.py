"""Which files a pipeline needs, and each reason why they cannot be used: asked before anything large is fetched."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import diffusers
import torch
import transformers
from diffusers.utils.deprecation_utils import _maybe_remap_transformers_class

from zerokit.engines import placement
from zerokit.engines.source import PICKLES, Source, listed, shown
from zerokit.errors import ModelError, NoWeights, RemoteCode, UnsafeWeights
from zerokit.requests import ImageMode

INDEX = "model_index.json"
HALF = "fp16"
_VIDEO = ("Wan", "LTX", "Hunyuan", "CogVideo", "Mochi", "Allegro", "AnimateDiff", "Cosmos", "SkyReels")
_STEMS = ("diffusion_pytorch_model", "model")
_SMALL = (".json", ".txt", ".model", ".jinja", ".tiktoken")


@dataclass(frozen=True)
class Plan:
    """What is to be fetched and loaded."""

    classes: dict[ImageMode, Any]
    """The pipeline class of each mode that diffusers knows for its family."""
    files: tuple[str, ...]
    weights: dict[str, tuple[str, ...]]
    """The safetensors of each component that has some."""
    text: dict[str, Any]
    """Those of the components that are transformers' models, with their class."""
    absent: tuple[str, ...]
    """Components that the pipeline could have and this one has not."""
    variant: str | None
    own_code: bool


def plan(source: Source, dtype: placement.LoadDtype, trust_remote_code: bool) -> Plan:
    """Look at the names of the files and at the index.

    Raises:
        ModelError: it cannot be used; a subclass where the reason is a common one.
    """
    if INDEX not in source.files:
        raise _no_pipeline(source)
    index = source.json(INDEX)
    classes = _classes(source, index)
    said = {name: pair for name, pair in index.items() if isinstance(pair, list) and len(pair) == 2 and name[0] != "_"}
    there = {name: (str(pair[0]), str(pair[1])) for name, pair in said.items() if pair[0] and pair[1]}
    expected, _ = classes["text"]._get_signature_keys(classes["text"])
    lacking = sorted(set(expected) - set(said) - set(classes["text"]._optional_components))
    if lacking:
        raise ModelError(
            f'"{source.name}" is a part of a {classes["text"].__name__}: it has no {", ".join(map(shown, lacking))}.'
        )
    own_code = [name for name, (library, _) in there.items() if _home(library) is None]
    if own_code and not trust_remote_code:
        raise RemoteCode(f'The {own_code[0]} of "{source.name}" can only be loaded with code of its own.')
    kinds = {name: _class(source, library, cls) for name, (library, cls) in there.items() if name not in own_code}
    modules = [name for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, torch.nn.Module)]
    modules += [name for name in own_code if _weights(source, name, None)]
    variant, weights = _variant(source, modules, dtype)
    small = [
        file
        for file in source.files
        if file.split("/")[0] in there
        and file.endswith((*_SMALL, *((".py",) if own_code else ())))
        and ".index." not in file
    ]
    return Plan(
        classes=classes,
        files=(INDEX, *small, *(file for files in weights.values() for file in files)),
        weights=weights,
        text={name: kinds[name] for name in modules if name in kinds and there[name][0] == "transformers"},
        absent=tuple(name for name in said if name not in there and name in expected),
        variant=variant,
        own_code=bool(own_code),
    )


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


def _classes(source: Source, index: dict[str, Any]) -> dict[ImageMode, Any]:
    """The pipeline class of each mode."""
    from diffusers.pipelines import auto_pipeline as auto

    name = index.get("_class_name")
    known = isinstance(name, str) and hasattr(diffusers, name)
    if isinstance(name, list) or (not known and any(file.endswith(".py") for file in source.files)):
        # One with code of its own would have to be driven by code that nobody here has seen.
        raise ModelError(f'"{source.name}" is a pipeline with code of its own, which ZeroKit cannot drive.')
    if not isinstance(name, str):
        raise ModelError(f'{INDEX} of "{source.name}" names no pipeline.')
    if not known:
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
        what = "makes videos" if "Video" in name or name.startswith(_VIDEO) else "does not make pictures from a prompt"
        raise ModelError(f'"{source.name}" is a {shown(name)}, which {what}. Choose a text-to-image model.')
    takes = inspect.signature(classes["text"].__call__).parameters
    if "num_frames" in takes:
        raise ModelError(f'"{source.name}" is a {shown(name)}, which makes videos. Choose a text-to-image model.')
    if "control_image" in takes or "Control" in classes["text"].__name__:
        raise ModelError(f'"{source.name}" is a {shown(name)}, which needs another picture to be steered by.')
    return classes


def _home(library: str) -> Any:
    """The module that a component's class is in; None where it is the repository's own."""
    known = {"diffusers": diffusers, "transformers": transformers}
    return known.get(library) or getattr(diffusers.pipelines, library, None)


def _class(source: Source, library: str, name: str) -> Any:
    if library == "transformers":
        # Old repositories name classes that transformers 5 has no more; diffusers knows their successors.
        name = _maybe_remap_transformers_class(name) or name
    found = getattr(_home(library), name, None)
    if found is None:
        raise ModelError(
            f'"{source.name}" needs {shown(name)}, which {shown(library)} does not have here. A newer version may.'
        )
    return found


def _variant(
    source: Source, modules: list[str], dtype: placement.LoadDtype
) -> tuple[str | None, dict[str, tuple[str, ...]]]:
    """The variant that the weights of all modules are there in, the smallest that is enough, and their files.

    Raises:
        UnsafeWeights: there are only pickles.
        NoWeights: there are none, or not all that an index names.
    """
    for variant in (HALF, None) if dtype is torch.float16 else (None, HALF):
        found = {name: _weights(source, name, variant) for name in modules}
        if all(found.values()):
            return variant, {name: tuple(files or ()) for name, files in found.items()}
    raise _no_weights(source, next(name for name in modules if not _weights(source, name, None)))


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
        return NoWeights(f'The {folder} of "{source.name}" has weights only under unusual names: {listed(other)}')
    return NoWeights(f'The {folder} of "{source.name}" has no safetensors. Its files: {listed(inside)}')
