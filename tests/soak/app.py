"""The Space of the soak: a chat that says again what it was asked, and images whose files tell their prompt.

So each answer carries the mark of its question, however many visitors ask at once.
"""

import errno
import os
import threading
from pathlib import Path

import gradio as gr
from echo import Echo

from zerokit import ZeroChat, ZeroDiffusion
from zerokit.calls import calibration

FULL = Path(os.environ["SOAK_FULL"])
"""While this file is there, the disk is full for the calibration."""


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
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("zerokit-pump", "zerokit-call"))]


with gr.Blocks(title="Soak") as demo:
    with gr.Tab("Chat"):
        chat.render()
    with gr.Tab("Images"):
        images.render()
    gr.api(threads, api_name="threads", api_visibility="undocumented", queue=False)

demo.queue(max_size=1000)
demo.launch()
