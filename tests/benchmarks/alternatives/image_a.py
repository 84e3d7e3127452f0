"""(a) the documented pattern: the model at module level, and `spaces.GPU` with its default of 60 s."""

import os

import gradio as gr
import spaces
import torch
from diffusers import DiffusionPipeline

NAME = os.environ["BENCHMARK_MODEL"]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
pipe = DiffusionPipeline.from_pretrained(NAME, dtype=torch.float32)
pipe.to(DEVICE)


@spaces.GPU
def paint(prompt, width, height, steps, images, guidance):
    settings = {"width": int(width), "height": int(height), "guidance_scale": guidance}
    settings |= {"num_images_per_prompt": int(images), "num_inference_steps": int(steps)}
    return pipe(prompt, **settings).images


demo = gr.Interface(
    paint,
    [
        gr.Textbox(label="Prompt"),
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
