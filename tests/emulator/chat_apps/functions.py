"""GPU functions of the author's own, beside a chat in another tab: they share workers and weights."""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import gradio as gr
import torch

import zerokit
from zerokit import ZeroChat

table = torch.arange(4.0).to("cuda")


@dataclass
class Found:
    tensor: torch.Tensor
    nested: list


@zerokit.gpu(duration=5)
def tensors() -> Found:
    """CUDA tensors, however deep they lie in a result."""
    return Found(table * 2, [{"twice": (table + 1).float()}])


@zerokit.gpu(duration=5)
def handle() -> object:
    """What cannot be pickled."""
    return threading.Lock()


@zerokit.gpu(duration=10)
def count(to: int, pause_s: float) -> list[int]:
    """Counts, says how far it is, and hands over what it has."""
    made: list[int] = []
    for number in range(int(to)):
        time.sleep(pause_s)
        made = [*made, number]
        zerokit.progress(number + 1, int(to), f"Counting {number + 1}", made=made)
    return made


@zerokit.gpu(duration=10)
def grow(to: int, pause_s: float) -> Iterator[str]:
    """A generator, of which the visitor gets the last value."""
    for number in range(int(to)):
        time.sleep(pause_s)
        yield "x" * (number + 1)


@zerokit.gpu(duration=10, stream=True)
def grow_in_sight(to: int, pause_s: float) -> Iterator[str]:
    """A generator, of which the visitor gets every value."""
    for number in range(int(to)):
        time.sleep(pause_s)
        yield "x" * (number + 1)


@zerokit.gpu(duration=5)
def fail(how: str) -> str:
    if how == "author":
        raise gr.Error("Too <b>blue</b>.", title="Wrong colour")
    raise KeyError("/secret/path")


def find() -> dict:
    found = tensors()
    tensor, nested = found.tensor, found.nested[0]["twice"]
    return {
        "devices": [str(tensor.device), str(nested.device)],
        "values": [tensor.tolist(), nested.tolist()],
    }


def in_sight(to: float, pause_s: float) -> Iterator[str]:
    yield from grow_in_sight(int(to), pause_s)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("zerokit-pump", "zerokit-call"))]


with gr.Blocks() as demo:
    with gr.Tab("Chat"):
        ZeroChat(os.environ["CHAT_MODEL"], max_new_tokens=8, temperature=0)
    with gr.Tab("Functions"):
        to, pause_s, how, out = gr.Number(5), gr.Number(0.05), gr.Textbox(), gr.JSON()
        text = gr.Textbox()
        gr.Button("Find").click(find, None, out, api_name="find")
        gr.Button("Handle").click(handle, None, out, api_name="handle")
        counting = gr.Button("Count").click(count, [to, pause_s], out, api_name="count", concurrency_limit=None)
        gr.Button("Stop").click(None, cancels=counting)
        gr.Button("Grow").click(grow, [to, pause_s], text, api_name="grow")
        gr.Button("Grow in sight").click(in_sight, [to, pause_s], text, api_name="in_sight")
        gr.Button("Fail").click(fail, how, out, api_name="fail")
    gr.api(threads, api_name="threads", api_visibility="undocumented", queue=False)

demo.launch()
