"""GPU functions whose seconds are learned, starting from far too few."""

import os
import time

import gradio as gr
import torch

import zerokit
from zerokit import Linear

table = torch.arange(4.0).to("cuda")


@zerokit.gpu(duration=Linear(base_s=0.1, per={"pause_s": 0.0}, cold_s=0.1, name="polite"))
def polite(pause_s: float) -> float:
    """Works for so long, and says at the end how much it summed up."""
    end = time.monotonic() + pause_s
    while time.monotonic() < end:
        zerokit.progress(0, 1)
        time.sleep(0.02)
    return float(table.sum())


@zerokit.gpu(duration=Linear(base_s=0.1, cold_s=0.1, name="deaf"))
def deaf() -> float:
    """Listens to nothing for so long."""
    time.sleep(float(os.environ.get("DEAF_S", "4")))
    return float(table.sum())


def reserves(name: str) -> list[int]:
    quote = {"polite": polite, "deaf": deaf}[name].quote(*([0.1] if name == "polite" else []))
    return [quote.granted_s, quote.reserved_s]


def threads() -> list[str]:
    return []


with gr.Blocks() as demo:
    gr.Button().click(polite, gr.Number(0.1), gr.Number(), api_name="polite")
    gr.Button().click(deaf, None, gr.Number(), api_name="deaf")
    gr.api(reserves, api_name="reserves", queue=False)
    gr.api(threads, api_name="threads", api_visibility="undocumented", queue=False)

demo.launch()
