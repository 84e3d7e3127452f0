"""What a call shows on the page: its progress, its failure, the note that it was cut."""

from __future__ import annotations

import html
import logging
import sys
from typing import Any

from .. import errors
from ..control import Progress
from .call import Beat, Outcome

log = logging.getLogger("zerokit")


def is_gradio_error(error: Any) -> bool:
    """Whether it is a gr.Error, which says to the visitor what its author wrote; gradio is not loaded for that."""
    gradio = sys.modules.get("gradio")
    return gradio is not None and isinstance(error, gradio.Error)


def to_gradio(error: Exception) -> Exception:
    """The gr.Error that shows `error` to a visitor. Gradio renders messages as HTML, so ours are escaped."""
    import gradio as gr

    if not isinstance(error, errors.ZeroKitError):
        return error
    shown = gr.Error(html.escape(str(error), quote=False), title=error.title, print_exception=False)
    shown.__cause__ = error
    return shown


def in_event() -> bool:
    """Whether this code runs for an event of a Gradio page."""
    if "gradio" not in sys.modules:
        return False
    from gradio.context import LocalContext

    return LocalContext.blocks.get(None) is not None and LocalContext.event_id.get(None) is not None


def show_progress(beat: Beat) -> None:
    """Show a beat on the page through Gradio's own progress; outside a Gradio event nothing happens."""
    if not in_event() or (beat.phase == "running" and beat.progress == Progress()):
        return
    import gradio as gr

    words = {"waiting": "Waiting for a GPU", "waking": "Waking the GPU", "running": beat.progress.text}[beat.phase]
    gr.Progress()(beat.progress.fraction or 0.0, desc=words or None)


def tell_cut(outcome: Outcome) -> None:
    """Say that what is shown is not all; in the log where there is no page."""
    said = {"deadline": "The reserved GPU time ended first.", "stopped": "It was stopped."}.get(outcome.ended)
    if said is None:
        said = outcome.failure.message if isinstance(outcome.failure, errors.ZeroKitError) else "It was interrupted."
    said += " This is what was made until then."
    if not in_event():
        log.warning("Cut short: %s", said)
        return
    import gradio as gr

    gr.Warning(html.escape(said, quote=False), title="Cut short")
