"""An image Space, with an endpoint that tells which threads of calls run in it."""

import os
import threading

import gradio as gr

from zerokit import ZeroDiffusion

demo = ZeroDiffusion(
    os.environ["IMAGE_MODEL"],
    title="Images",
    examples=["a red circle on a white background", "two blue squares on yellow"],
    steps=int(os.environ.get("IMAGE_STEPS", "0")) or None,
)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("zerokit-pump", "zerokit-call"))]


with demo:
    gr.api(threads, api_name="threads", api_visibility="undocumented", queue=False)

demo.launch(mcp_server=os.environ.get("IMAGE_MCP") == "1")
