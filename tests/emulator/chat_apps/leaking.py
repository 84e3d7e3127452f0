"""A Space with a chat model and an image model with adapters, which answers whatever `leaking_work` can."""

import gradio as gr
import leaking_work

import zerokit
from zerokit.control import required


@zerokit.gpu(duration=10)
def answer(kind: str, batch: object) -> list[str]:
    return leaking_work.answer(kind, batch, required())


@zerokit.gpu(duration=10)
def bases() -> str:
    return leaking_work.bases()


def ask(asked: dict) -> list[str]:
    return answer(asked["kind"], leaking_work.prepare(asked))


def digest() -> str:
    return bases()


with gr.Blocks() as demo:
    gr.api(ask, api_name="ask", concurrency_limit=None)
    gr.api(digest, api_name="digest")

demo.queue(max_size=100)  # Gradio's own for ZeroGPU is 1: two at once would be one too many
demo.launch()
