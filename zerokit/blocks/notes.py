"""Lines and cards that a page says something with, as HTML, all texts escaped."""

from __future__ import annotations

from html import escape
from importlib.resources import files

import gradio as gr

from zerokit.errors import ZeroKitError


def place() -> gr.HTML:
    """A place for them, which is not seen while it is empty."""
    style = files("zerokit.blocks").joinpath("notes.css").read_text("utf-8")
    return gr.HTML("", css_template=style, padding=False)


def said(text: str, *more: str) -> str:
    """A line, and what there is to add; "" says nothing."""
    if not text:
        return ""
    added = "".join(f'<span class="zn-more">{escape(one)}</span>' for one in more)
    return f'<div class="zn" role="status"><span>{escape(text)}</span>{added}</div>'


def failed(error: Exception) -> str:
    """An error as a card that stays until something else is said."""
    title = error.title if isinstance(error, ZeroKitError) else str(getattr(error, "title", "Error"))
    text = str(error) if isinstance(error, ZeroKitError) else str(getattr(error, "message", error))
    return f'<div class="zn zn-error" role="alert"><b>{escape(title)}</b><span>{escape(text)}</span></div>'
