"""The Space that is fuzzed: a chat and images, both with adapters and with those that visitors bring."""

import json
import os

import gradio as gr

from zerokit import ZeroLoRA
from zerokit.adapters import AdapterSpec
from zerokit.calls.duration import Fixed

FOLDERS = json.loads(os.environ["FUZZ_FOLDERS"])
DECLARED_S = 4
"""Whatever is asked: a call that would take long is cut."""

chat = ZeroLoRA(
    FOLDERS["chat"],
    [AdapterSpec(FOLDERS["chat-adapter"], name="first")],
    title="Chat",
    allow_custom=True,
    max_new_tokens=4,
    temperature=0,
)
images = ZeroLoRA(
    FOLDERS["image"], [AdapterSpec(FOLDERS["image-adapter"], name="ink")], title="Images", allow_custom=True, steps=2
)
for model in (chat.form.model.reply, chat.form.model.replies, images.form.model.paint, images.form.model.compare):
    model.estimator = Fixed(DECLARED_S)

with gr.Blocks(title="Fuzzed") as demo:
    with gr.Tab("Chat"):
        chat.render()
    with gr.Tab("Images"):
        images.render()

demo.queue(max_size=1000)
demo.launch(mcp_server=True)
