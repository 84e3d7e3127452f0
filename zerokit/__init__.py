"""ZeroKit: Gradio Spaces on Hugging Face ZeroGPU.

The names below are loaded when they are first used. The first one that touches the GPU imports `spaces` before torch,
as the platform wants it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "ChatReply": "requests",
    "ChatRequest": "requests",
    "ImageReply": "requests",
    "ImageRequest": "requests",
    "Linear": "calls.duration",
    "Message": "requests",
    "ZeroChat": "blocks.chat",
    "ZeroDiffusion": "blocks.diffusion",
    "ZeroKitError": "errors",
    "ZeroLoRA": "blocks.lora",
    "ZeroQuota": "quota.meter",
    "gpu": "calls.function",
    "progress": "control",
}

__all__ = ["__version__", *_HOMES]

if TYPE_CHECKING:
    from .blocks.chat import ZeroChat as ZeroChat
    from .blocks.diffusion import ZeroDiffusion as ZeroDiffusion
    from .blocks.lora import ZeroLoRA as ZeroLoRA
    from .calls.duration import Linear as Linear
    from .calls.function import gpu as gpu
    from .control import progress as progress
    from .errors import ZeroKitError as ZeroKitError
    from .quota.meter import ZeroQuota as ZeroQuota
    from .requests import ChatReply as ChatReply
    from .requests import ChatRequest as ChatRequest
    from .requests import ImageReply as ImageReply
    from .requests import ImageRequest as ImageRequest
    from .requests import Message as Message


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'zerokit' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
