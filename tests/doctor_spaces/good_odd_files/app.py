"""An app from another editor: a mark at its beginning, and its own line ends."""

import spaces
import gradio as gr
import torch

import vendored.nets as nets

net = nets.Net().to("cuda")


@spaces.GPU(duration=5)
def run(a):
    """Written: (é)   done"""
    return net(torch.tensor([float(a)]).cuda()).item()


gr.Interface(run, "number", "number", concurrency_limit=None).launch()
