"""GPU functions with ZeroKit, which do to a real card what must not end the app."""

import os
import time

import gradio as gr
import torch

from zerokit import gpu, progress  # before anything lies on the card: it brings `spaces`

table = torch.arange(1024.0).to("cuda")
CHUNK = 2**31


@gpu(duration=20)
def look() -> dict:
    return {"sum": float(table.sum()), "allocated": torch.cuda.memory_allocated(), "pid": os.getpid()}


@gpu(duration=20)
def fill() -> int:
    """More than there is, piece by piece, and all of it held until the end."""
    held = []
    while True:
        held.append(torch.ones(CHUNK, dtype=torch.uint8, device="cuda"))


@gpu(duration=20)
def too_large() -> int:
    """More than there is, at once."""
    total = torch.cuda.get_device_properties(0).total_memory
    return torch.empty(2 * total, dtype=torch.uint8, device="cuda").numel()


@gpu(duration=20)
def out_of_bounds() -> float:
    """A fault of the card's own, after which nothing runs in that process any more."""
    return float(table[torch.full((4,), 10**6, device="cuda")].sum())


@gpu(duration=20)
def tensors() -> dict:
    return {"table": table[:3], "deep": [{"half": table[1:3].half()}]}


@gpu(duration=lambda seconds, declared: declared)
def busy(seconds: float, declared: float) -> int:
    """Work in many small pieces, and say how far it is."""
    rounds, ends_at = 0, time.monotonic() + seconds
    square = torch.ones(2048, 2048, device="cuda")
    while time.monotonic() < ends_at:
        square = (square @ square).clamp(max=1.0)
        torch.cuda.synchronize()
        rounds += 1
        progress(rounds, made=rounds)
    return rounds


@gpu(duration=2)
def deaf() -> int:
    """Work that hears nothing: neither of Stop nor of its deadline."""
    torch.cuda._sleep(int(60 * 1.5e9))
    torch.cuda.synchronize()
    return 1


def found() -> dict:
    seen = tensors()
    half = seen["deep"][0]["half"]
    return {"devices": [str(seen["table"].device), str(half.device)], "values": [seen["table"].tolist(), half.tolist()]}


with gr.Blocks() as demo:
    seconds, declared, out = gr.Number(), gr.Number(), gr.JSON()
    for function in (look, fill, too_large, out_of_bounds, found, deaf):
        gr.Button().click(function, None, out, api_name=function.__name__)
    gr.Button().click(busy, [seconds, declared], out, api_name="busy", concurrency_limit=None)

demo.launch()
