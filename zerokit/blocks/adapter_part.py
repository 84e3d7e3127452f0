"""The adapters of a page: the gallery, and where allowed what a visitor brings; for chats and for images alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from zerokit.blocks import notes
from zerokit.blocks.adapter_choice import Chosen, from_page
from zerokit.blocks.adapter_picker import AdapterPicker, cards
from zerokit.blocks.diffusion_wiring import QUIET
from zerokit.blocks.guests import Guest, Guests, forget
from zerokit.engines.shelf import Adapter
from zerokit.errors import ZeroKitError

_CHECKS_AT_ONCE = 4
_UPLOADS = [".safetensors", ".json"]


class AdapterPart:
    """Components and events for choosing adapters.

    Put `inputs` among those of every event that needs the choice, and give their values to `chosen`: nothing of it is
    kept anywhere else.

    Args:
        engine: a `TextEngine` or an `ImageEngine`.
        allow_custom: let visitors bring adapters of their own.
    """

    def __init__(self, engine: Any, *, allow_custom: bool = False) -> None:
        self.engine = engine
        self.guests = Guests(engine) if allow_custom else None
        self.picker = AdapterPicker(cards(engine.adapters), render=False)
        self.own = gr.State([], delete_callback=forget, render=False)
        self.inputs: list[Any] = [self.picker, self.own]

    def chosen(self, values: Sequence[Any]) -> Chosen:
        """What the page has chosen.

        Args:
            values: of `inputs`.

        Raises:
            RequestError: it cannot be used.
        """
        picked, own = values
        return from_page(picked, self.engine.adapters, _adapters(own))

    def known(self, values: Sequence[Any]) -> tuple[Adapter, ...]:
        """What can be chosen, the visitor's own included.

        Args:
            values: of `inputs`.
        """
        return (*self.engine.adapters, *_adapters(values[1]))

    def place(self) -> None:
        """Place the gallery, and below it the fields for an adapter of one's own."""
        self.own.render()
        self.picker.render()
        if self.guests is None:
            return
        with gr.Accordion("An adapter of your own", open=False):
            self.repo = gr.Textbox(
                label="On the Hub", placeholder="owner/name", info="A public repository", max_lines=1, max_length=300
            )
            self.files = gr.File(
                label="Or its files: .safetensors, adapter_config.json",
                file_count="multiple",
                file_types=_UPLOADS,
                height=120,
            )
            self.bring = gr.Button("Check and add", size="sm")
        self.said = notes.place()

    def add_events(self, prompt: gr.Textbox) -> None:
        """Let an adapter's examples be taken into `prompt`, and visitors bring and remove their own."""
        self.picker.example(_example, None, prompt, **QUIET)
        if self.guests is None:
            return
        shown = [self.own, self.picker, self.said, self.repo, self.files]
        gr.on(
            [self.bring.click, self.repo.submit],
            self._bring,
            [self.repo, self.files, *self.inputs],
            shown,
            concurrency_limit=_CHECKS_AT_ONCE,
            concurrency_id="zerokit-adapters",
            trigger_mode="once",
            show_progress_on=self.said,
            api_visibility="private",
        )
        self.picker.remove(self._remove, self.inputs, shown[:3], **QUIET)

    def _bring(self, repo: str, files: list[str] | None, picked: Any, own: list[Guest]) -> tuple[Any, ...]:
        """Check what a visitor brings; where it cannot be used, what was typed and picked stays."""
        assert self.guests is not None
        try:
            guest = self.guests.from_files(files, own) if files else self.guests.from_hub(repo, own)
        except ZeroKitError as exc:
            return gr.skip(), gr.skip(), notes.failed(exc), gr.skip(), None
        own, adapter = [*own, guest], guest.adapter
        picked = {"picked": {**picked["picked"], adapter.name: adapter.spec.weight}}
        picker = self.picker.with_own(self.engine.adapters, _adapters(own), picked)
        return own, picker, notes.said(f"{adapter.name} is here for you alone, and picked."), "", None

    def _remove(self, picked: Any, own: list[Guest], event: gr.EventData) -> tuple[Any, ...]:
        """Take one of the visitor's own away, with its files."""
        gone = [guest for guest in own if guest.adapter.name == event._data.get("name")]
        forget(gone)
        own = [guest for guest in own if guest not in gone]
        names = {guest.adapter.name for guest in gone}
        picked = {"picked": {name: weight for name, weight in picked["picked"].items() if name not in names}}
        return own, self.picker.with_own(self.engine.adapters, _adapters(own), picked), notes.said("")


def _adapters(own: Sequence[Guest] | None) -> tuple[Adapter, ...]:
    return tuple(guest.adapter for guest in own or ())


def _example(event: gr.EventData) -> Any:
    text = event._data.get("text")
    return text if isinstance(text, str) else gr.skip()
