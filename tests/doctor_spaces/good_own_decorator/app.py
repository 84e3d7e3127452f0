import os

import spaces
import gradio as gr
import torch
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("all-MiniLM-L6-v2", device="cuda")
SECONDS = int(os.environ.get("SECONDS", "600"))


def timed(function):
    @spaces.GPU(duration=SECONDS)
    def on_gpu(*args):
        return function(*args)

    return on_gpu


@timed
def embed(texts):
    return model.encode(texts, convert_to_tensor=True).cpu().tolist()


def compare(first, second):
    try:
        a, b = embed([first, second])
    except gr.Error:
        raise
    return sum(x * y for x, y in zip(a, b))


demo = gr.Blocks()
with demo:
    inputs = [gr.Textbox(), gr.Textbox()]
    score = gr.Number()
    triggers = [box.submit for box in inputs]
    gr.on(triggers=triggers, fn=compare, inputs=inputs, outputs=score, concurrency_limit=None, api_name="compare")
demo.launch(server_name="0.0.0.0", ssr_mode=False)
