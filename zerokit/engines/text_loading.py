"""A chat model's tokenizer and weights, checked as far as can be before the weights are fetched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from zerokit.engines import placement
from zerokit.engines.source import Source, find, shown
from zerokit.errors import ModelError, NoChatTemplate, NoWeights, RemoteCode

_TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "tekken.json", ".model", ".tiktoken")


@dataclass(frozen=True)
class Loaded:
    """A model on the CPU, in its load dtype."""

    name: str
    model: Any
    tokenizer: Any


def load(
    model: str | Path,
    *,
    revision: str | None,
    token: str | None,
    dtype: placement.LoadDtype,
    quantization: Any,
    trust_remote_code: bool,
) -> Loaded:
    """Find a chat model, check it, and load it; the checks come first, the weights last.

    Raises:
        ModelError: it cannot be used; a subclass where the reason is a common one.
    """
    source = find(model, "chat", revision=revision, token=token)
    check_config(source, trust_remote_code)
    weights = source.weights()
    small = source.small_files()
    if trust_remote_code:
        small += [name for name in source.files if name.endswith(".py")]
    tokenizer = _tokenizer(source, source.fetch(small), trust_remote_code)
    folder = source.fetch(weights)
    settings: dict[str, Any] = {"dtype": dtype, "trust_remote_code": trust_remote_code}
    if quantization is not None:
        settings |= {"quantization_config": quantization, "device_map": placement.device()}
    return Loaded(source.name, _model(source, folder, settings), tokenizer)


def check_config(source: Source, trust_remote_code: bool) -> None:
    """Refuse what is no language model that this version of transformers knows.

    Raises:
        ModelError: what it is instead; a subclass where the reason is a common one.
    """
    if "config.json" not in source.files:
        raise _not_a_chat_model(source)
    config = source.json("config.json")
    kind = str(config.get("model_type", ""))
    known = kind in CONFIG_MAPPING_NAMES
    own_code = "AutoModelForCausalLM" in (config.get("auto_map") or {})
    if not known and own_code:
        if not trust_remote_code:
            raise RemoteCode(f'"{source.name}" can only be loaded with code of its own.')
        return
    if not known:
        raise ModelError(
            f'"{source.name}" has the architecture "{shown(kind)}", which transformers {transformers.__version__} '
            "does not know. A newer version may."
        )
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not (own_code and trust_remote_code):
        raise ModelError(f'"{source.name}" is a {kind} model, which does not write text. Choose a chat model.')


def _not_a_chat_model(source: Source) -> ModelError:
    """Why there is no config.json."""
    if "model_index.json" in source.files:
        return ModelError(f'"{source.name}" makes images. Use it with ZeroDiffusion.')
    if "adapter_config.json" in source.files:
        base = shown(source.json("adapter_config.json").get("base_model_name_or_path", "its base model"))
        return ModelError(f'"{source.name}" is an adapter. Load {base}, and add the adapter to it.')
    if any(name.endswith(".gguf") for name in source.files):
        return NoWeights(f'"{source.name}" holds GGUF files, which are for other programs.')
    return NoWeights(f'"{source.name}" has no config.json among its {len(source.files)} files.')


def _tokenizer(source: Source, folder: Path, trust_remote_code: bool) -> Any:
    if not any(name.endswith(_TOKENIZERS) for name in source.files):
        raise ModelError(f'"{source.name}" has no tokenizer.')
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=trust_remote_code)
    except Exception as exc:
        raise _explained(source, "tokenizer", exc) from exc
    if not tokenizer.chat_template:
        raise NoChatTemplate(f'The tokenizer of "{source.name}" has no chat template.')
    return tokenizer


def _model(source: Source, folder: Path, settings: dict[str, Any]) -> Any:
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            str(folder), use_safetensors=True, output_loading_info=True, **settings
        )
    except Exception as exc:
        raise _explained(source, "weights", exc) from exc
    missing = sorted(report["missing_keys"])
    if missing:
        raise NoWeights(f'The weights of "{source.name}" lack {len(missing)} tensors, such as {missing[0]}.')
    return model


def _explained(source: Source, part: str, exc: Exception) -> ModelError:
    """What stopped transformers from loading a part of the model, in one sentence."""
    said = str(exc)
    if "trust_remote_code" in said:
        return RemoteCode(f'The {part} of "{source.name}" can only be loaded with code of its own.')
    if isinstance(exc, ImportError):
        first = next((line for line in said.splitlines() if line.strip()), "a package is missing")
        return ModelError(f'"{source.name}" needs a package that is not installed: {shown(first)}')
    first = next((line for line in said.splitlines() if line.strip()), "no reason given")
    return ModelError(
        f'The {part} of "{source.name}" cannot be loaded: {type(exc).__name__}, {shown(first)}. '
        "The files may be damaged, or not fully there."
    )
