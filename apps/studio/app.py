"""A studio: a chat and an image model in tabs of one page. They share the GPU's workers and the visitor's quota."""

import os

import gradio as gr

from zerokit import ZeroChat, ZeroDiffusion

# ZEROKIT_MODEL=embedded runs this with the small models that come with ZeroKit, with nothing to download.
CHAT_MODEL = os.environ.get("ZEROKIT_MODEL", "Qwen/Qwen3-4B-Instruct-2507")
IMAGE_MODEL = os.environ.get("ZEROKIT_MODEL", "stabilityai/stable-diffusion-xl-base-1.0")

with gr.Blocks(title="Studio", delete_cache=(86_400, 86_400)) as demo:
    gr.Markdown("# Studio")
    with gr.Tab("Chat"):
        ZeroChat(
            CHAT_MODEL,
            title="",
            examples=["What is ZeroGPU?", "Write a prompt for a picture of a harbour"],
            system_prompt="You are a helpful assistant. Answer briefly.",
        )
    with gr.Tab("Images"):
        ZeroDiffusion(
            IMAGE_MODEL,
            title="",
            examples=["a red circle on a white background", "a harbour at dawn, watercolour"],
            steps=25,  # for this model
        )

if __name__ == "__main__":
    demo.queue(max_size=100).launch()
