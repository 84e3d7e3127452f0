"""`AdapterPicker`: the adapters of an app on its page, to be picked by a click, each with its weight."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import gradio as gr

from zerokit.blocks.adapter_choice import card
from zerokit.engines.shelf import Adapter
from zerokit.quota.meter import NoStubFile
from zerokit.requests import MAX_ADAPTERS

SEARCH_FROM = 9
"""From so many adapters on there is a field to search them."""
USUAL_WEIGHT = 2.0
"""Where a slider ends, unless the adapter's own weight lies above."""


class AdapterPicker(gr.HTML, metaclass=NoStubFile):  # type: ignore[misc]
    """A gallery of adapters. Its value is an object with the weights of those `picked`, by their names.

    Besides `change` it has the events `example` (a prompt of an adapter was clicked; the data has its `text`) and
    `remove` (a visitor takes an adapter of their own away; the data has its `name`).

    Args:
        cards: of what can be picked, from `cards`. An output can change only what is an argument here: Gradio makes the
            component of that visitor anew with it.
        render: place it now.
    """

    def __init__(self, cards: Sequence[dict[str, Any]] = (), *, render: bool = True) -> None:
        # Gradio looks for an argument's name among the attributes, and of an HTML it takes any for that of an event.
        self.cards = list(cards)
        super().__init__(
            value={"picked": {}},
            label="Adapters",
            html_template=_text("adapter_picker.html"),
            css_template=_text("adapter_picker.css"),
            js_on_load=_script(),
            apply_default_css=False,
            render=render,
            cards=self.cards,
        )

    def with_own(self, adapters: Iterable[Adapter], own: Iterable[Adapter], value: Any) -> dict[str, Any]:
        """An output that shows other adapters of the visitor, and picks what `value` says."""
        return gr.update(value=value, cards=cards(adapters, own))

    def preprocess(self, payload: Any) -> dict[str, Any]:
        """What is picked, as it came from the page; whoever uses it checks names and weights."""
        picked = payload.get("picked") if isinstance(payload, Mapping) else None
        return {"picked": dict(picked) if isinstance(picked, Mapping) else {}}

    def postprocess(self, value: Any) -> dict[str, Any]:
        """The same for the page."""
        return self.preprocess(value)

    def api_info(self) -> dict[str, Any]:
        """The value is an object."""
        return {"type": "object"}

    def example_payload(self) -> dict[str, Any]:
        """A value for documentation."""
        return {"picked": {}}

    def example_value(self) -> dict[str, Any]:
        """A value for documentation."""
        return {"picked": {}}


def cards(adapters: Iterable[Adapter], own: Iterable[Adapter] = ()) -> list[dict[str, Any]]:
    """What the page shows of each."""
    return [*(card(adapter) for adapter in adapters), *(card(adapter, own=True) for adapter in own)]


def _text(name: str) -> str:
    return files("zerokit.blocks").joinpath(name).read_text("utf-8")


def _script() -> str:
    config = {"most": MAX_ADAPTERS, "search_from": SEARCH_FROM, "usual": USUAL_WEIGHT}
    return _text("adapter_picker.js").replace("__CONFIG__", json.dumps(config), 1)
