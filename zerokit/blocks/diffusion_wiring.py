"""What the parts of an image page share when they connect their events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.context import get_blocks_context

QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
TOLD_BY_SCRIPT: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
"""For what happens in the browser alone."""


def root() -> gr.Blocks:
    """The outermost Blocks: only theirs are told that the page was opened."""
    context = get_blocks_context()
    assert context is not None
    return context.root_block


def not_a_tool(function: Callable[..., Any]) -> Callable[..., Any]:
    """Keep what is public only for the page's sake out of the tools that MCP lists."""
    function._mcp_type = "page"  # type: ignore[attr-defined]
    return function
