"""The same by hand: diffusers, spaces and gradio, and the settings that pictures have."""

import os

import gradio as gr
import spaces
import torch
from diffusers import StableDiffusionPipeline

pipe = StableDiffusionPipeline.from_pretrained(
    os.environ["BENCHMARK_MODEL"], dtype=getattr(torch, os.environ["BENCHMARK_DTYPE"])
)
pipe.to("cuda" if torch.cuda.is_available() else "cpu")
pipe.set_progress_bar_config(disable=True)


@spaces.GPU
def generate(prompt, negative_prompt, width, height, images, steps, guidance, seed):
    return pipe(
        prompt,
        negative_prompt=negative_prompt or None,
        width=int(width),
        height=int(height),
        num_images_per_prompt=int(images),
        num_inference_steps=int(steps),
        guidance_scale=guidance,
        generator=[torch.Generator().manual_seed(int(seed) + i) for i in range(int(images))],
    ).images


demo = gr.Interface(
    generate,
    [
        gr.Textbox(label="Prompt"),
        gr.Textbox(label="Negative prompt"),
        gr.Slider(64, 1024, 256, step=8, label="Width"),
        gr.Slider(64, 1024, 256, step=8, label="Height"),
        gr.Slider(1, 8, 1, step=1, label="Images"),
        gr.Slider(1, 50, 20, step=1, label="Steps"),
        gr.Slider(0, 15, 7.5, label="Guidance"),
        gr.Number(0, label="Seed", precision=0),
    ],
    gr.Gallery(format="png", label="Pictures"),
    title="Pictures",
    api_name="generate",
)

if __name__ == "__main__":
    demo.launch()
