"""A Space whose every text is hostile: titles, examples, adapters, and a chat that says again what it was asked."""

import json
import os
import sys

import gradio as gr

sys.path.append(os.environ["HOSTILE_ECHO"])

from echo import Echo

import zerokit
from zerokit import ZeroLoRA
from zerokit.adapters import AdapterSpec
from zerokit.calls.duration import Fixed

TEXT, NAME = os.environ["HOSTILE_TEXT"], os.environ["HOSTILE_NAME"]
FOLDERS = json.loads(os.environ["HOSTILE_FOLDERS"])


def block(kind: str, **settings: object) -> ZeroLoRA:
    adapter = AdapterSpec(FOLDERS[f"{kind}-adapter"], name=NAME, trigger=TEXT, examples=(TEXT,))
    return ZeroLoRA(FOLDERS[kind], [adapter], title=TEXT, examples=[TEXT], allow_custom=True, **settings)


chat = block("chat", max_new_tokens=900, temperature=0)
for function in (chat.form.model.reply, chat.form.model.replies):
    function.estimator = Fixed(100)
Echo(chat.engine.model, chat.engine.tokenizer)
images = block("image", steps=2)


@zerokit.gpu(duration=5)
def fail(text: str) -> str:
    raise gr.Error(text, title=text)


with gr.Blocks(title=TEXT) as demo:
    with gr.Tab("Chat"):
        chat.render()
    with gr.Tab("Images"):
        images.render()
    with gr.Tab("Fails"):
        text = gr.Textbox(label="Say")
        gr.Button("Fail").click(fail, text, text)

demo.queue(max_size=100)
demo.launch()
