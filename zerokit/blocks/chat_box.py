"""The text box of a chat: when it can be typed into, what may be sent, and where the keyboard is afterwards."""

from __future__ import annotations

from functools import partial
from importlib.resources import files
from typing import Any

import gradio as gr

from zerokit.requests import MAX_PROMPT_CHARACTERS

_PLACEHOLDER = "Ask something"
ready = partial(gr.update, submit_btn=True, stop_btn=False, placeholder=_PLACEHOLDER)
"""Not yet to be typed into: in the same step Gradio empties it and lets one type."""
busy = partial(gr.update, interactive=False, submit_btn=False, stop_btn=True, placeholder="")


def make() -> gr.Textbox:
    """The text box, to be placed by Gradio's chat."""
    box = gr.Textbox(
        label="Your message",
        show_label=False,
        placeholder=_PLACEHOLDER,
        scale=7,
        autofocus=True,
        submit_btn=True,
        stop_btn=True,
        max_lines=12,
        render=False,
    )
    box.elem_id = f"zerokit-ask-{box._id}"
    return box


def check(message: str) -> Any:
    """Refuse on the page, before anything moves: the text stays where it was typed."""
    if not isinstance(message, str) or not message.strip():
        return gr.validate(False, "Type a message first.")
    if len(message) > MAX_PROMPT_CHARACTERS:
        return gr.validate(
            False, f"The message has {len(message):,} characters, and at most {MAX_PROMPT_CHARACTERS:,} can be read."
        )
    return gr.validate(True, "")


def focus(box: gr.Textbox) -> str:
    """A script that puts the keyboard back into the box."""
    script = files("zerokit.blocks").joinpath("chat_focus.js").read_text("utf-8")
    return script.replace("BOX", f"#{box.elem_id} textarea")
