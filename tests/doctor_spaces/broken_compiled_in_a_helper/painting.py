import torch
from diffusers import AutoPipelineForText2Image


def prepare(name):
    pipe = AutoPipelineForText2Image.from_pretrained(name, torch_dtype=torch.float16).to("cuda")
    pipe.unet = torch.compile(pipe.unet, mode="reduce-overhead", fullgraph=True)
    return pipe
