"""ZeroQuota, the bar with what is left of a visitor's day, in an app that uses plain `spaces`."""

import os

import spaces  # before torch

# isort: split
import gradio as gr
import torch
from diffusers import AutoPipelineForText2Image
from PIL.Image import Image

from zerokit import ZeroQuota, embedded
from zerokit.quota.platform import reserved_s

# ZEROKIT_MODEL=embedded runs this with the small model that comes with ZeroKit, with nothing to download.
MODEL = os.environ.get("ZEROKIT_MODEL", "stabilityai/stable-diffusion-xl-base-1.0")
if MODEL == "embedded":
    MODEL = str(embedded.path("image"))

device = "cuda" if torch.cuda.is_available() else "cpu"
dtype = torch.float16 if device == "cuda" else torch.float32
pipe = AutoPipelineForText2Image.from_pretrained(MODEL, dtype=dtype, use_safetensors=True).to(device)


def seconds(prompt: str, steps: float) -> int:
    """What a picture may take: `spaces` and the bar ask the same function."""
    return 4 + round(steps * 0.3)


@spaces.GPU(duration=seconds)
def on_gpu(prompt: str, steps: float) -> Image:
    return pipe(prompt, num_inference_steps=int(steps)).images[0]


def paint(prompt: str, steps: float) -> Image:
    """Refuse an empty prompt here, where it costs no run."""
    if not prompt.strip():
        raise gr.Error("Say what you want to see.", title="No prompt")
    return on_gpu(prompt, steps)


with gr.Blocks(title="Paint") as demo:
    gr.Markdown("# Paint")
    prompt = gr.Textbox("a red circle on a white background", label="Prompt", max_length=300)
    steps = gr.Slider(1, 50, 20, step=1, label="Steps")
    button = gr.Button("Paint", variant="primary")
    quota = ZeroQuota()
    picture = gr.Image(label="Picture", format="png")
    event = button.click(paint, [prompt, steps], picture, api_name="paint", concurrency_limit=None)
    quota.follow(event, price=lambda *values: reserved_s(seconds(*values)), inputs=[prompt, steps])

if __name__ == "__main__":
    demo.queue(max_size=100).launch()
