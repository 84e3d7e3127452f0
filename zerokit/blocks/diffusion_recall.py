"""Settings that come back to an image page: from a picture that was made with them, and from a link."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from zerokit.blocks import canvas
from zerokit.blocks.diffusion_page import LINK, Page
from zerokit.blocks.diffusion_wiring import QUIET, TOLD_BY_SCRIPT
from zerokit.blocks.image_link import record_of
from zerokit.errors import RequestError, ZeroKitError
from zerokit.pictures.record import Record, read_png

_SAID_FOR_MS = 2500


class Recall:
    """Brings settings back, and gives them away as a link."""

    def __init__(self, parts: Page, model: str) -> None:
        self.parts, self.model = parts, model

    def add_events(self, load: Callable[..., Any]) -> None:
        """Listen to the field for pictures, to pictures dropped beside it, to the address of the page."""
        parts = self.parts
        recalled = [*parts.asked_with, parts.editor, parts.status]
        part = list(parts.part.inputs)
        for field in (parts.recall, parts.dropped):
            event = field.upload(self._from_picture, [field, *part], [*recalled, field], **QUIET)
            event.then(None, None, None, js=parts.call("look"), **TOLD_BY_SCRIPT)  # the editor was emptied
        load(self._from_link, [parts.prompt, *part], recalled, **QUIET)
        load(None, None, None, js=parts.script("open"), **TOLD_BY_SCRIPT)
        said = parts.link.click(None, parts.asked_with, parts.link, js=parts.script("link"), **TOLD_BY_SCRIPT)
        again = f"() => new Promise((done) => setTimeout(() => done({LINK!r}), {_SAID_FOR_MS}))"
        said.then(None, None, parts.link, js=again, **TOLD_BY_SCRIPT)

    def _from_picture(self, file: str | None, *part: Any) -> list[Any]:
        skipped = [gr.skip()] * (len(self.parts.asked_with) + 1)
        if not file:
            return [*skipped, gr.skip(), gr.skip()]
        try:
            record = read_png(file)
            if record is None:
                raise RequestError("This picture carries no settings. Those made here do, as PNG files.")
        except ZeroKitError as exc:
            return [*skipped, canvas.failed(exc), None]
        return [*self._recalled(record, "The settings of that picture are back.", part), None]

    def _from_link(self, request: gr.Request, prompt: str, *part: Any) -> list[Any]:
        record = record_of(request.query_params)
        if record is None or prompt:  # a prompt that is there already is one of Gradio's run history
            return [gr.skip()] * (len(self.parts.asked_with) + 2)
        return self._recalled(record, "The settings of that link are here.", part)

    def _recalled(self, record: Record, said: str, part: Sequence[Any]) -> list[Any]:
        values, notes = self.parts.recalled(record)
        more, more_notes = self.parts.part.recalled(record, part)
        values, notes = [*values, *more], [*notes, *more_notes]
        if record.model and record.model != self.model:
            notes.insert(0, f"It was made with {record.model[:120]}; here it is {self.model}.")
        return [*values, None, canvas.said(said, *notes)]
