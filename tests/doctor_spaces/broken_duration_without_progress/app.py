import spaces
import gradio as gr
import torch
from diffusers import DiffusionPipeline

pipe = DiffusionPipeline.from_pretrained("stabilityai/sdxl-turbo", torch_dtype=torch.float16).to("cuda")


def how_long(prompt, steps):
    return 3 + 0.4 * steps


@spaces.GPU(duration=how_long)
def paint(prompt, steps=4, progress=gr.Progress(track_tqdm=True)):
    return pipe(prompt, num_inference_steps=int(steps)).images[0]


gr.Interface(paint, ["text", gr.Slider(1, 8, 4, step=1)], "image", concurrency_limit=None).launch()
