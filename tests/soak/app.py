"""The Space of the soak: a chat that says again what it was asked, and images whose files tell their prompt.

So each answer carries the mark of its question, however many visitors ask at once.
"""

import errno
import os
import sys
import threading
import traceback
from pathlib import Path

import gradio as gr
from echo import Echo

from zerokit import ZeroChat, ZeroDiffusion
from zerokit.calls import calibration

FULL = Path(os.environ["SOAK_FULL"])
"""While this file is there, the disk is full for the calibration."""
SESSIONS = 100
"""Gradio keeps what it knows of that many pages and calls of programs, some 0.2 MiB each; 10,000 where nobody says."""


chat = ZeroChat(os.environ["SOAK_CHAT"], title="Chat", temperature=0, max_new_tokens=200)
Echo(chat.engine.model, chat.engine.tokenizer)
images = ZeroDiffusion(os.environ["SOAK_IMAGE"], title="Images", steps=2)

write = calibration._write


def write_where_there_is_room(path: Path, text: str) -> None:
    if FULL.exists():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    write(path, text)


calibration._write = write_where_there_is_room


def threads() -> list[str]:
    """The threads of calls, and where each of them is."""
    frames = sys._current_frames()
    return [
        f"{one.name} at " + ", ".join(f"{Path(at.filename).name}:{at.lineno} {at.name}" for at in stack[-8:])
        for one in threading.enumerate()
        if one.name.startswith(("zerokit-pump", "zerokit-call"))
        and (stack := traceback.extract_stack(frames.get(one.ident or 0)))
    ]


with gr.Blocks(title="Soak") as demo:
    with gr.Tab("Chat"):
        chat.render()
    with gr.Tab("Images"):
        images.render()
    gr.api(threads, api_name="threads", api_visibility="undocumented", queue=False)

demo.queue(max_size=1000)
demo.launch(state_session_capacity=SESSIONS)
