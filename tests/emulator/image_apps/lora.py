"""An image Space with adapters, which lets visitors bring their own, and tells which threads and folders are left."""

import json
import os
import tempfile
import threading
from pathlib import Path

import gradio as gr

from zerokit import ZeroLoRA
from zerokit.adapters import AdapterSpec

FOLDERS = json.loads(os.environ["LORA_ADAPTERS"])
SPECS = {
    "outline": {"trigger": "outlined", "examples": ("a red circle", "two blue squares")},
    "pastel": {"weight": 0.5, "trigger": "in pastel", "trigger_at": "end"},
}

demo = ZeroLoRA(
    os.environ["IMAGE_MODEL"],
    [AdapterSpec(folder, name=name, **SPECS.get(name, {})) for name, folder in FOLDERS.items()],
    title="Styles",
    allow_custom=os.environ.get("LORA_CUSTOM") == "1",
    steps=int(os.environ.get("IMAGE_STEPS", "4")),
    any_base=True,
)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("zerokit-pump", "zerokit-call"))]


def folders() -> list[str]:
    return [folder.name for folder in Path(tempfile.gettempdir()).glob("zerokit-adapter-*")]


with demo:
    gr.api(threads, api_name="threads", api_visibility="undocumented", queue=False)
    gr.api(folders, api_name="folders", api_visibility="undocumented", queue=False)

demo.launch(mcp_server=os.environ.get("LORA_MCP") == "1")
