"""A chat Space with adapters, which lets visitors bring their own, and tells which threads and folders are left."""

import json
import os
import resource
import tempfile
import threading
from pathlib import Path

import gradio as gr

from zerokit import ZeroLoRA
from zerokit.adapters import AdapterSpec
from zerokit.calls.duration import Fixed

FOLDERS = json.loads(os.environ["LORA_ADAPTERS"])
SPECS = {"first": {"trigger": "Ahoy!", "examples": ("Who are you?",)}, "third": {"weight": 0.5}}

demo = ZeroLoRA(
    os.environ["LORA_BASE"],
    [AdapterSpec(folder, name=name, **SPECS.get(name, {})) for name, folder in FOLDERS.items()],
    title="Adapters",
    allow_custom=os.environ.get("LORA_CUSTOM") == "1",
    max_new_tokens=int(os.environ.get("LORA_TOKENS", "12")),
    temperature=0,
)

if "LORA_DECLARED_S" in os.environ:  # where a test is not about what was learned
    for function in (demo.form.model.reply, demo.form.model.replies):
        function.estimator = Fixed(float(os.environ["LORA_DECLARED_S"]))


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("zerokit-pump", "zerokit-call"))]


def folders() -> list[str]:
    return [folder.name for folder in Path(tempfile.gettempdir()).glob("zerokit-adapter-*")]


def limit(file_bytes: float) -> None:
    """Files of the app end there, as on a disk that is full; -1: no longer."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(file_bytes), resource.RLIM_INFINITY))


with demo:
    gr.api(threads, api_name="threads", api_visibility="undocumented", queue=False)
    gr.api(folders, api_name="folders", api_visibility="undocumented", queue=False)
    gr.api(limit, api_name="limit", api_visibility="undocumented", queue=False)

demo.launch(mcp_server=os.environ.get("LORA_MCP") == "1")
