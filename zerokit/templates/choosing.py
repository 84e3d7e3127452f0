"""Which template serves a model, told by its files on the Hub, with the checks that the engines make; no weights."""

from __future__ import annotations

import os
from dataclasses import dataclass

from zerokit.adapters import AdapterSpec
from zerokit.engines.adapter_files import CONFIG
from zerokit.engines.form import PIPELINE, form_of
from zerokit.engines.shelf import base_of
from zerokit.engines.source import EMBEDDED, Source, shown
from zerokit.engines.source import find as find_source
from zerokit.errors import ModelError, NoChatTemplate, NoWeights, UsageError

from .catalogue import Form, Template, find

_FITTING = {
    ("text", False): "chat",
    ("image", False): "diffusion",
    ("text", True): "lora-chat",
    ("image", True): "lora-diffusion",
}
"""The template for a model by its form, and whether it is an adapter."""
_TEMPLATE_FILES = {"chat_template.jinja", "chat_template.json", "tekken.json"}


@dataclass(frozen=True)
class Model:
    """A model on the Hub, and what it is."""

    name: str
    form: Form
    base: str | None = None
    """Of an adapter; None for a whole model."""
    talks: bool = True
    """Whether it knows how a conversation is written down."""


@dataclass(frozen=True)
class Choice:
    """A template, and the model to fill in; None leaves the template's own."""

    template: Template
    model: Model | None = None


def choose(template: str | None, model: str | None) -> Choice:
    """Find the template, and look at the model.

    Args:
        template: its name; None or "auto": the one for the model.
        model: a repository on the Hub, or "embedded"; None: the template's own.

    Raises:
        UsageError: there is no such template, nothing says which, or the model is not one for it.
        ModelError: the model cannot be used; a subclass where the reason is a common one.
    """
    named = None if template in (None, "auto") else find(str(template))
    if model is None:
        if named is None:
            raise UsageError("Without a template a model must be named: zerokit new auto DIR --model OWNER/NAME")
        return Choice(named)
    if model == EMBEDDED:
        return _embedded(named)
    found = look(model)
    fitting = find(_FITTING[found.form, found.base is not None])
    if named is not None and not _fits(found, named):
        raise UsageError(
            f'"{found.name}" {_said(found)}, which is not for {named.name}. Use the template {fitting.name}.'
        )
    chosen = named or fitting
    if chosen.talks and not found.talks:
        raise NoChatTemplate(f'"{found.name}" does not say how a conversation is written down.')
    return Choice(chosen, found)


def look(name: str) -> Model:
    """What a model on the Hub is.

    Raises:
        UsageError: it is a folder.
        ModelError: it cannot be used; a subclass where the reason is a common one.
    """
    if name.startswith(("~", "/", ".")) or os.path.exists(name):
        raise UsageError(f"{shown(name)} is a folder or a file here. A Space loads its model from the Hub: OWNER/NAME.")
    source = find_source(name, "chat")
    return _adapter(source) if _is_adapter(source) else _whole(source)


def _is_adapter(source: Source) -> bool:
    return CONFIG in source.files or not {"config.json", PIPELINE} & source.files


def _whole(source: Source) -> Model:
    if PIPELINE in source.files or "_class_name" in source.json("config.json"):
        _check_pipeline(source)  # says of one part of a pipeline that it is one
        return Model(source.name, "image")
    _check_text(source)
    return Model(source.name, "text", talks=_talks(source))


def _adapter(source: Source) -> Model:
    if not any("/" not in name and name.endswith(".safetensors") for name in source.files):
        raise NoWeights(
            f'"{source.name}" is no model that a template serves: it has no config.json, no {PIPELINE} and no '
            f"adapter's .safetensors among its {len(source.files)} files."
        )
    spec = AdapterSpec(source.name)
    form = form_of(spec)
    base = base_of(spec, kind=form)
    if base is None:
        raise ModelError(
            f'If "{source.name}" is an adapter, nothing in it says for which model. Its card may: base_model.'
        )
    try:
        found = find_source(base, "chat")
        whole = None if _is_adapter(found) else _whole(found)
    except ModelError as exc:
        raise type(exc)(
            f'"{source.name}" is an adapter for another model, which cannot be used. {exc.message}'
        ) from exc
    if whole is None or whole.form != form:
        raise ModelError(f'"{source.name}" is an adapter for "{shown(base)}", which is not a whole model of its kind.')
    return Model(source.name, form, whole.name, whole.talks)


def _check_pipeline(source: Source) -> None:
    import torch

    from zerokit.engines.image_files import plan

    plan(source, torch.float16, False)


def _check_text(source: Source) -> None:
    from zerokit.engines.text_loading import check_config

    check_config(source, False)
    source.weights()


def _talks(source: Source) -> bool:
    return bool(_TEMPLATE_FILES & source.files or source.json("tokenizer_config.json").get("chat_template"))


def _embedded(template: Template | None) -> Choice:
    if template is None:
        raise UsageError(f'Nothing tells which template is meant: name it beside the model "{EMBEDDED}".')
    if template.adapters:
        raise UsageError(
            f"{template.name} takes an adapter with --model. Leave it out, and run it with ZEROKIT_MODEL={EMBEDDED}."
        )
    return Choice(template, Model(EMBEDDED, template.forms[0]))


def _fits(model: Model, template: Template) -> bool:
    return model.form in template.forms and (model.base is not None) == template.adapters


def _said(model: Model) -> str:
    made = "writes text" if model.form == "text" else "makes pictures"
    return made if model.base is None else f"is an adapter for a model that {made}"
