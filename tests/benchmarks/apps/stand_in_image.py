"""A ZeroDiffusion whose model has the pace of a large one, without its weights.

What is stood in for: how long a worker loads, and how long the prompt, a step and the decoding take. The pictures are
grey. Everything else is the real thing.
"""

import os
import time

import spaces.zero.torch as zero_torch
import torch
from parts.pace import IMAGE_BYTES, IMAGE_PARAMETERS, LOADING_S, PROMPT_S, decode_s, step_s

from zerokit import ZeroDiffusion
from zerokit.engines.image import ImageEngine

engine = ImageEngine(os.environ["BENCHMARK_MODEL"], dtype="float32")
engine.parameters, engine.packed_bytes = IMAGE_PARAMETERS, IMAGE_BYTES
due = 0.0


def wait(seconds):
    """Let nothing be over earlier than on a card; what the stand-in itself takes is part of it."""
    global due
    due += seconds
    time.sleep(max(0.0, due - time.monotonic()))


def read(module, args, kwargs):
    global due
    due = max(due, time.monotonic())
    wait(PROMPT_S / 2)  # it is asked twice, once for the negative prompt


def denoise(sample, *args, **kwargs):
    rows, _, height, width = sample.shape
    wait(step_s(64 * height * width, rows))
    return (torch.zeros_like(sample),)


def decode(vae, latents, *args, **kwargs):
    images, _, height, width = latents.shape
    wait(decode_s(64 * height * width, images))
    return (torch.zeros(images, 3, 8 * height, 8 * width),)


engine.pipe.text_encoder.register_forward_pre_hook(read, with_kwargs=True)
engine.pipe.unet.forward = denoise
type(engine.pipe.vae).decode = decode  # the engine puts a guard of its own on the instance
move = zero_torch.move


def move_slowly(*args, **kwargs):
    time.sleep(LOADING_S)
    return move(*args, **kwargs)


zero_torch.move = move_slowly
demo = ZeroDiffusion(engine, title="Stand-in")

if __name__ == "__main__":
    demo.launch()
