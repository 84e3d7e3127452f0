"""(b) a static 120 s, and the model loaded in the first call of each worker. An adapter is read in the call."""

import os

import gradio as gr
import spaces
import torch
from diffusers import DiffusionPipeline

NAME = os.environ["BENCHMARK_MODEL"]
ADAPTERS = os.environ["BENCHMARK_ADAPTERS"].split(os.pathsep)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
loaded = {}


@spaces.GPU(duration=120)
def paint(prompt, adapter, width, height, steps, images, guidance):
    if not loaded:
        loaded["pipe"] = DiffusionPipeline.from_pretrained(NAME, dtype=torch.float32).to(DEVICE)
    pipe = loaded["pipe"]
    pipe.load_lora_weights(adapter, adapter_name="chosen")
    try:
        settings = {"width": int(width), "height": int(height), "guidance_scale": guidance}
        settings |= {"num_images_per_prompt": int(images), "num_inference_steps": int(steps)}
        return pipe(prompt, **settings).images
    finally:
        pipe.unload_lora_weights()


demo = gr.Interface(
    paint,
    [
        gr.Textbox(label="Prompt"),
        gr.Dropdown(ADAPTERS, label="Adapter"),
        gr.Slider(64, 1216, 64, step=8, label="Width"),
        gr.Slider(64, 1216, 64, step=8, label="Height"),
        gr.Slider(1, 50, 20, step=1, label="Steps"),
        gr.Slider(1, 8, 1, step=1, label="Pictures"),
        gr.Slider(0, 15, 5, label="Guidance"),
    ],
    gr.Gallery(format="png", label="Pictures"),
    api_name="generate",
)

if __name__ == "__main__":
    demo.launch()
