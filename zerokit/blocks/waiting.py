"""How many events may wait in Gradio's queue, and that each says how it ended."""

from __future__ import annotations

import gradio as gr

from zerokit.blocks.wordless import give_words

WAITING = 1_000
"""Events of all visitors that may wait at a time."""


def let_wait(blocks: gr.Blocks) -> None:
    """Let more than one event wait.

    On ZeroGPU Gradio lets one wait unless a number is given (`Blocks.queue`, gradio 6.31), and takes events out 20
    times a second: of two visitors who click within that time one would be told "Queue is full". Who waits for a GPU
    is the platform's business.
    """
    blocks.queue(max_size=WAITING)
    give_words()
