"""A chat engine with adapters under a GPU function: one adapter is packed with the base, the others come later."""

import json
import os

import gradio as gr

import zerokit
from zerokit.adapters import AdapterSpec
from zerokit.control import required
from zerokit.engines import text_adapters
from zerokit.engines.text import TextEngine
from zerokit.requests import AdapterChoice, ChatRequest, Message

text_adapters.RESIDENT = 1
FOLDERS = json.loads(os.environ["CHAT_ADAPTERS"])
engine = TextEngine(
    os.environ["CHAT_MODEL"], adapters=[AdapterSpec(FOLDERS[name], name=name) for name in ("first", "second")]
)


@zerokit.gpu(duration=10)
def answer(batch: object) -> list[str]:
    return [reply.text for reply in engine.generate_batch(batch, required())]


def ask(rows: list) -> list[str]:
    """One row for each answer: weights by the adapters' names."""
    extra = [engine.find_adapter(AdapterSpec(FOLDERS["mine"], name="mine"))]
    requests = [
        ChatRequest(
            (Message("user", "Hello"),),
            temperature=0,
            max_new_tokens=12,
            adapters=[AdapterChoice(name, weight) for name, weight in row.items()],
        )
        for row in rows
    ]
    return answer(engine.prepare_batch(requests, extra=extra))


with gr.Blocks() as demo:
    gr.api(ask, api_name="ask")

if __name__ == "__main__":
    demo.launch()
