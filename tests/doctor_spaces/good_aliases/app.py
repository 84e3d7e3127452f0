import spaces as hf
import gradio
import torch as t
from functools import partial

gpu = hf.GPU(duration=30)
small = t.nn.Linear(4, 4).to("cuda")


@gpu
def forward(numbers):
    return small(t.tensor(numbers, device="cuda")).tolist()


@hf.GPU
def backward(numbers):
    result = small(t.tensor(numbers).to(device="cuda")).sum()
    return result.item()


def check(numbers, which):
    if len(numbers) != 4:
        raise gradio.Error("Four numbers, please.")
    return forward(numbers) if which == "forward" else backward(numbers)


with gradio.Blocks() as demo:
    numbers, made = gradio.JSON([1, 2, 3, 4]), gradio.JSON()
    for which in ("forward", "backward"):
        gradio.Button(which).click(partial(check, which=which), numbers, made)
demo.queue(default_concurrency_limit=None)
demo.launch()
