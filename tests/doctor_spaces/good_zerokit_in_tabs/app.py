import gradio as gr
import torch
import zerokit as zk

from extras import upscale

with gr.Blocks() as demo:
    with gr.Tab("Chat"):
        zk.ZeroChat("Qwen/Qwen3-4B-Instruct-2507", examples=["What is ZeroGPU?"])
    with gr.Tab("Paint"):
        zk.ZeroLoRA("stabilityai/stable-diffusion-xl-base-1.0", ["someone/pastel"])
    with gr.Tab("Upscale"):
        small, large = gr.Image(), gr.Image()
        quota = zk.ZeroQuota()
        quota.follow(gr.Button("Upscale").click(upscale, small, large, concurrency_limit=None))
demo.launch()
