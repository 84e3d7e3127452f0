"""What the parts of an image page share when they connect their events."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.context import get_blocks_context

QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


def root() -> gr.Blocks:
    """The outermost Blocks: only theirs are told that the page was opened."""
    context = get_blocks_context()
    assert context is not None
    return context.root_block
