"""A pipeline that makes pictures, checked as far as can be before its weights are fetched."""

from __future__ import annotations

import logging
import threading
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from huggingface_hub import metadata_load
from safetensors import safe_open

from zerokit.engines import placement
from zerokit.engines.image_files import Plan, plan
from zerokit.engines.source import Source, find, shown
from zerokit.errors import ModelError, NoWeights, RemoteCode
from zerokit.requests import ImageMode

_STORED = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}


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


class _Quiet:
    """Counts who wants quiet, in several threads: the first one brings it, the last one ends it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = 0
        self._before: list[tuple[Any, int, bool]] = []

    def begin(self) -> None:
        with self._lock:
            self._wanted += 1
            if self._wanted > 1:
                return
            for talker in (diffusers.utils.logging, transformers.utils.logging):
                self._before.append((talker, talker.get_verbosity(), talker.is_progress_bar_enabled()))
                talker.set_verbosity(logging.ERROR)
                talker.disable_progress_bar()

    def end(self) -> None:
        with self._lock:
            self._wanted -= 1
            if self._wanted:
                return
            for talker, verbosity, bars in self._before:
                talker.set_verbosity(verbosity)
                if bars:
                    talker.enable_progress_bar()
            self._before.clear()


_quiet = _Quiet()


@contextmanager
def quiet() -> Iterator[None]:
    """Let diffusers and transformers speak of errors only, while the block runs."""
    _quiet.begin()
    try:
        yield
    finally:
        _quiet.end()


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
    with quiet():
        plan_ = plan(source, dtype, trust_remote_code)
        card = _card(source)
        folder = source.fetch(plan_.files)
        try:
            pipe = _pipeline(source, folder, plan_, _dtypes(folder, plan_, dtype), quantization)
        except ModelError:
            raise
        except Exception as exc:
            raise _explained(source, exc) from exc
    return Loaded(source.name, pipe, plan_.classes, card)


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


def _dtypes(folder: Path, plan_: Plan, dtype: placement.LoadDtype) -> dict[str, torch.dtype]:
    """The dtype to load each component in; for "auto" the one that most of its tensors are stored in."""
    if isinstance(dtype, torch.dtype):
        return {"default": dtype}
    dtypes = {"default": torch.float32}
    for name, files in plan_.weights.items():
        first = next(file for file in files if file.endswith(".safetensors"))
        with safe_open(folder / first, "pt") as stored:
            found = Counter(stored.get_slice(key).get_dtype() for key in stored.keys())  # noqa: SIM118
        dtypes[name] = _STORED.get(found.most_common(1)[0][0], torch.float32)
    return dtypes


def _pipeline(source: Source, folder: Path, plan_: Plan, dtypes: dict[str, torch.dtype], quantization: Any) -> Any:
    settings: dict[str, Any] = dict.fromkeys(plan_.absent)
    if plan_.own_code:
        settings["trust_remote_code"] = True
    with warnings.catch_warnings():
        for kind in (FutureWarning, DeprecationWarning, UserWarning):
            warnings.simplefilter("ignore", kind)
        if quantization is None:
            for name, cls in plan_.text.items():
                settings[name] = _text_model(source, folder / name, cls, plan_, dtypes.get(name, dtypes["default"]))
        else:
            settings["quantization_config"] = quantization
        pipe = plan_.classes["text"].from_pretrained(
            str(folder), dtype=dtypes, variant=plan_.variant, use_safetensors=True, local_files_only=True, **settings
        )
    for name in plan_.weights:
        bare = [key for key, tensor in getattr(pipe, name).named_parameters() if tensor.is_meta]
        if bare:
            raise _lacks(source, name, bare)
        getattr(pipe, name).eval()
    return pipe


def _text_model(source: Source, folder: Path, cls: Any, plan_: Plan, dtype: torch.dtype) -> Any:
    """One of transformers' models, which makes up what its files lack, and only says so."""
    model, report = cls.from_pretrained(
        str(folder), dtype=dtype, variant=plan_.variant, use_safetensors=True, output_loading_info=True
    )
    if report["missing_keys"]:
        raise _lacks(source, folder.name, sorted(report["missing_keys"]))
    return model


def _lacks(source: Source, part: str, names: list[str]) -> NoWeights:
    return NoWeights(f'The weights of the {part} of "{source.name}" lack {len(names)} tensors, such as {names[0]}.')


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
