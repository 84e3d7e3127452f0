"""A Space as anybody writes it, with weights that are worth packing, and what can be seen of its processes."""

import os
from pathlib import Path

import gradio as gr
import spaces
import torch
from spaces.config import Config
from spaces.zero.torch import patching

SIDE = 8192
weights = [torch.full((SIDE, SIDE), float(n), dtype=torch.float16).to("cuda") for n in range(16)]
large = torch.full((3 * SIDE, SIDE), 20.0, dtype=torch.float16).to("cuda")  # more than one of the buffers that load it
small = [torch.full((n + 1,), float(n), dtype=torch.bfloat16).to("cuda") for n in range(8)]
shared = weights[3].detach()
WEIGHT_BYTES = sum(tensor.numel() * tensor.element_size() for tensor in (*weights, large, *small))
kept = []


@spaces.GPU(duration=20)
def look() -> dict:
    """What a worker sees of the card and of the weights."""
    card = torch.cuda.get_device_properties(0)
    right = [bool((tensor == n).all()) for n, tensor in enumerate(weights)]
    right += [bool((tensor == n).all()) for n, tensor in enumerate(small)] + [bool((large == 20).all())]
    return {
        "name": card.name,
        "capability": [card.major, card.minor],
        "uuid": str(card.uuid),
        "devices": sorted({str(tensor.device) for tensor in (*weights, *small, large, shared)}),
        "right": all(right),
        "shares": shared.data_ptr() == weights[3].data_ptr(),
        "allocated": torch.cuda.memory_allocated(),
        "forged": forged(),
        "pid": os.getpid(),
    }


@spaces.GPU(duration=lambda seconds, declared: int(declared))
def hold(seconds: float, declared: float) -> float:
    """Keep the card busy, as a model does that does not look at the clock."""
    done = torch.cuda.Event()
    torch.cuda._sleep(int(seconds * 1.5e9))  # cycles of the card
    done.record()
    done.synchronize()
    return seconds


@spaces.GPU(duration=20)
def hoard(share: float) -> float:
    """Take so much of what the card has free, and keep it."""
    kept.append(torch.ones(int(torch.cuda.mem_get_info()[0] * share), dtype=torch.uint8, device="cuda"))
    return torch.cuda.memory_allocated() / torch.cuda.get_device_properties(0).total_memory


@spaces.GPU(duration=20)
def need(share: float) -> float:
    """Take so much of all that the card has, for this call."""
    total = torch.cuda.get_device_properties(0).total_memory
    taken = torch.ones(int(total * share), dtype=torch.uint8, device="cuda")
    return taken.numel() / total


def forged() -> list[str]:
    """What is not `spaces`' or torch's own here, of all that the local ZeroGPU replaces where there is no card."""
    theirs = {f"spaces.{name}": getattr(patching, name) for name in ("pack", "size", "unpatch", "init", "move")}
    of_torch = {name: getattr(torch.cuda, name) for name in ("_lazy_init", "mem_get_info", "empty_cache", "Event")}
    names = [name for name, made in theirs.items() if made.__module__ != patching.__name__]
    return names + [name for name, made in of_torch.items() if not made.__module__.startswith("torch.")]


def main_process() -> dict:
    """What the process sees that never has the card."""
    files = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    status = Path("/proc/self/status").read_text()
    return {
        "name": torch.cuda.get_device_name(),
        "capability": list(torch.cuda.get_device_capability()),
        "begun": torch.cuda.is_initialized(),
        "on_card": [name for name in files if name.startswith("/dev/nvidia")],
        "packed": [file.stat().st_size for file in Path(Config.zerogpu_offload_dir).iterdir()],
        "resident": int(status.partition("RssAnon:")[2].split()[0]) * 1024,
        "weights": WEIGHT_BYTES,
        "forged": forged(),
    }


with gr.Blocks() as demo:
    seconds, declared, out = gr.Number(), gr.Number(), gr.JSON()
    gr.Button().click(look, None, out, api_name="look")
    gr.Button().click(hold, [seconds, declared], out, api_name="hold")
    gr.Button().click(hoard, seconds, out, api_name="hoard")
    gr.Button().click(need, seconds, out, api_name="need")
    gr.Button().click(main_process, None, out, api_name="main")

demo.launch()
