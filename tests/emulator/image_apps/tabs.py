"""Image blocks of several models in the tabs of one page."""

import os
from pathlib import Path

import gradio as gr

from zerokit import ZeroDiffusion

with gr.Blocks(title="Models") as demo, gr.Tabs():
    for folder in map(Path, os.environ["IMAGE_MODELS"].split(os.pathsep)):
        with gr.Tab(folder.name):
            ZeroDiffusion(folder, title=folder.name, steps=6)

demo.launch()
