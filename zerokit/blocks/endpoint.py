"""An endpoint for programs says what its parameters and its result are."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr
from gradio import utils
from gradio.context import get_blocks_context


def document(
    event: gr.events.Dependency,
    result: dict[str, str] | None = None,
    schemas: dict[str, dict[str, Any]] | None = None,
) -> None:
    """Give an endpoint its parameters' names and descriptions, and one made by `gr.api` its result's fields.

    Gradio 6.31 shows neither: parameters of `gr.api` are "1st", "2nd", and a result annotated in a module with
    `from __future__ import annotations` has no type. Clients, the page's API view and MCP read what is written here.

    Args:
        event: what `gr.api` or a listener returned; its function's docstring has an Args section.
        result: name and JSON type of each field of the object that the function returns; None: components say it.
        schemas: JSON schemas of parameters that say more than their types.
    """
    blocks = get_blocks_context()
    assert blocks is not None
    function = blocks.fns[event["id"]]
    _, described, _ = utils.get_function_description(function.fn)
    names = [name for name, *_ in utils.get_function_params(function.fn)]
    for name, component in zip(names, function.inputs, strict=True):
        component.label = name.replace("_", " ").capitalize()
        info = {**((schemas or {}).get(name) or component.api_info()), **_description(described[name])}
        component.api_info = partial(dict, info)
    if result is not None:
        (output,) = function.outputs
        output.label = "Result"
        output._api_info = {"type": "object", "properties": {name: _typed(kind) for name, kind in result.items()}}


def _typed(kind: str) -> dict[str, Any]:
    """A field's schema; Gradio wants to know of arrays what is in them, which here are objects."""
    return {"type": kind, "items": {"type": "object"}} if kind == "array" else {"type": kind}


def _description(text: str) -> dict[str, Any]:
    return {"description": text, "additional_description": text}
