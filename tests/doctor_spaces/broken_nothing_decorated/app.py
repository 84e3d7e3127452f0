import gradio as gr
import torch
from diffusers import StableDiffusionXLPipeline

pipe = StableDiffusionXLPipeline.from_pretrained(
    "stabilityai/stable-diffusion-xl-base-1.0", torch_dtype=torch.float16, variant="fp16"
)
pipe.to("cuda")


def paint(prompt, steps):
    return pipe(prompt, num_inference_steps=int(steps)).images[0]


with gr.Blocks() as demo:
    prompt = gr.Textbox()
    steps = gr.Slider(1, 50, 25, step=1)
    picture = gr.Image()
    prompt.submit(paint, [prompt, steps], picture, concurrency_limit=2)

demo.queue().launch()
