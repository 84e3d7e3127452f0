"""The picture that an image page starts from: what the page says of it, and how one comes back from the gallery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from zerokit.blocks.diffusion_page import START, Page, size_of
from zerokit.blocks.diffusion_wiring import QUIET, TOLD_BY_SCRIPT
from zerokit.errors import ZeroKitError
from zerokit.pictures.mask import painted


class StartPicture:
    """Follows the editor: the heading above it, and the mode and size that the price is for.

    Gradio 6.31's editor sends `change` and `input` with a picture that it had not drawn yet, for a new one with none at
    all, and after such an event the next click may still get that old one. So nothing listens to them: then every event
    gets what is in the editor at that moment. `upload` comes for the first picture, `clear` for none, and nothing else
    for a stroke or a picture set in its place. So these two, whoever sets the editor, and the page's script, which sees
    where hands have been, press a button that is not seen; what it does looks at the editor.
    """

    def __init__(self, parts: Page) -> None:
        self.parts = parts

    def add_events(self) -> None:
        """Listen to the editor, to the gallery, and to what fixes the size."""
        parts = self.parts
        told = [parts.starts_from, parts.start_area]
        # Gradio 6.31 tells the page only after events of its queue that a state has changed: then the prices follow.
        queued = {**QUIET, "queue": True, "concurrency_limit": None}
        looked = parts.look.click(self._look, parts.editor, told, **queued)
        looked.then(None, None, None, js=parts.call("looked"), **TOLD_BY_SCRIPT)
        for event in (parts.editor.upload, parts.editor.clear):
            event(None, None, None, js=parts.call("look"), **TOLD_BY_SCRIPT)
        parts.gallery.select(_chosen, None, parts.chosen, **QUIET)
        parts.gallery.preview_close(lambda: 0, None, parts.chosen, **QUIET)
        again = parts.again.click(_change, [parts.gallery, parts.chosen], [parts.editor, parts.start_area], **QUIET)
        again.then(None, None, None, js=parts.call("look"), **TOLD_BY_SCRIPT)
        parts.aspect.change(self._free_size, parts.aspect, [parts.width, parts.height], **QUIET)

    def _look(self, editor: Any) -> tuple[Any, Any]:
        """The mode that the picture on the page asks for, and its size; and the same in words."""
        try:
            image, mask = painted(editor) if editor else (None, None)
        except ZeroKitError:  # is told at the click
            image, mask = None, None
        if image is None:
            return "text", gr.update(label=START)
        is_part = mask is not None and "inpaint" in self.parts.own.modes
        what = "Changing the painted part" if is_part else "Starting from a picture"
        label = f"{what} · {image.width} × {image.height}"
        return ["inpaint" if is_part else "image", *image.size], gr.update(label=label)

    def _free_size(self, aspect: str) -> tuple[Any, Any]:
        size = size_of(aspect, self.parts.own)
        if size is None:
            return gr.update(visible=True), gr.update(visible=True)
        return gr.update(value=size[0], visible=False), gr.update(value=size[1], visible=False)


def _change(pictures: Sequence[tuple[str, Any]] | None, chosen: Any) -> tuple[Any, Any]:
    """Start from the picture that was chosen in the gallery."""
    if not pictures:
        return gr.skip(), gr.skip()
    index = chosen if isinstance(chosen, int) and 0 <= chosen < len(pictures) else 0
    return pictures[index][0], gr.update(open=True)


def _chosen(event: gr.SelectData) -> Any:
    return event.index
