import os

os.environ.setdefault("HF_HUB_ENABLE_HF_TRANSFER", "1")

import spaces  # before torch
import gradio as gr
import torch
from diffusers import DiffusionPipeline

ON_ZERO = bool(os.getenv("SPACES_ZERO_GPU"))
device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
dtype = torch.float16 if device != "cpu" else torch.float32
pipe = DiffusionPipeline.from_pretrained("stabilityai/sdxl-turbo", torch_dtype=dtype)
if ON_ZERO:
    pipe.to("cuda")
else:
    pipe.to(device)
    pipe.unet = torch.compile(pipe.unet)
    if device == "cuda":
        torch.cuda.set_device(0)
        pipe.enable_model_cpu_offload()


@spaces.GPU(duration=lambda prompt, steps=2: 3 + steps)
def paint(prompt, steps=2):
    return pipe(prompt, num_inference_steps=steps).images[0]


if __name__ == "__main__":
    gr.Interface(paint, "text", "image", concurrency_limit=1 if device == "cpu" else None).launch()
