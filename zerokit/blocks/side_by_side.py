"""Answers of several adapters beside each other, as HTML; what a model wrote brings none of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

import gradio as gr

from zerokit.blocks import notes
from zerokit.calls import Beat, Outcome
from zerokit.requests import ChatReply

_ENDINGS = {"length": "cut at the most tokens", "deadline": "cut by the time", "stopped": "stopped"}


def place() -> gr.HTML:
    """A place for them, which is not seen while it is empty."""
    style = files("zerokit.blocks").joinpath("side_by_side.css").read_text("utf-8")
    notes_style = files("zerokit.blocks").joinpath("notes.css").read_text("utf-8")
    return gr.HTML("", css_template=notes_style + style, padding=False, apply_default_css=False)


def pending(beat: Beat, names: Sequence[str]) -> str:
    """What is shown while the answers are made."""
    words = {"waiting": "Waiting for a GPU", "waking": "Waking the GPU"}.get(beat.phase, "Comparing")
    if beat.phase == "running" and beat.progress.done:
        words = f"Writing {len(names)} answers · {beat.progress.done:.0f} tokens"
    if beat.left_s is not None and beat.phase == "running":
        words += f" · at most {max(1, round(beat.left_s))} s more"
    return notes.said(words)


def done(names: Sequence[str], seed: int | None, outcome: Outcome) -> str:
    """The answers, what they cost, and what went wrong."""
    replies: list[Any] = outcome.value if isinstance(outcome.value, list) else []
    shown = "".join(_column(name, reply) for name, reply in zip(names, replies, strict=False))
    parts = [f'<div class="zs" role="group" aria-label="Answers side by side">{shown}</div>'] if shown else []
    if outcome.failure is not None and outcome.ended != "stopped":
        parts.append(notes.failed(outcome.failure))
    usage = outcome.usage
    words = [f"{len(replies)} answers in one run", f"seed {seed}"] if shown else []
    if usage.reserved_s is not None and shown:
        words.append(f"GPU: reserved {usage.reserved_s} s, used {usage.used_s:.1f} s")
    if outcome.ended == "stopped":
        words.append("stopped by you")
    return "".join(parts) + notes.said(" · ".join(words))


def _column(name: str, reply: ChatReply) -> str:
    words = [f"{reply.new_tokens:,} token{'' if reply.new_tokens == 1 else 's'}"]
    if reply.ended in _ENDINGS:
        words.append(_ENDINGS[reply.ended])
    text = _markdown().render(reply.text) if reply.text.strip() else "<p>No answer.</p>"
    return (
        f'<section class="zs-one" aria-label="{escape(name)}" tabindex="0"><div class="zs-name">{escape(name)}</div>'
        f'<div class="zs-text" dir="auto">{text}</div><div class="zn-more">{escape(" · ".join(words))}</div></section>'
    )


@cache
def _markdown() -> Any:
    from markdown_it import MarkdownIt

    # Without HTML, and without pictures, which would be fetched from wherever a model says.
    return MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table").disable("image")
