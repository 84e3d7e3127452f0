"""What a Space does first while it starts: `spaces`, torch, CUDA."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from .gpu import BLOCKS, ZEROKIT_GPU
from .program import Program
from .source import Module, at_import, home_of, keyword, text_of

_ASKS_CUDA = {
    *("current_device", "current_stream", "default_stream", "device_count", "get_device_capability"),
    *("get_device_name", "get_device_properties", "init", "is_available", "is_bf16_supported", "mem_get_info"),
    *("set_device", "synchronize", "Stream"),
}
"""Functions of torch.cuda that initialise CUDA, or say that there is none."""
_DOORS = {"zerokit.blocks", "zerokit.calls.door", *ZEROKIT_GPU, *(f"zerokit.{block}" for block in BLOCKS)}
"""What of ZeroKit imports `spaces`; the package itself and its other names do not."""
Place = tuple[Module, ast.AST, str]
_BRINGS_TORCH = {
    *("accelerate", "bitsandbytes", "diffusers", "kornia", "peft", "sentence_transformers", "timm", "torch"),
    *("torchaudio", "torchvision", "whisper", "xformers"),
}
"""Packages that import torch when they are imported; `transformers` does not before a model is named."""


@dataclass
class Start:
    """The first place of each, None where there is none or it comes after `spaces`."""

    spaces: Place | None = None
    torch: Place | None = None
    cuda: Place | None = None
    is_spaces_itself: bool = False
    """Whether the Space imports it, and not ZeroKit."""


def run_through(program: Program) -> Start:
    """Follow what runs while the app starts, its own modules included, until `spaces` is imported."""
    start = Start()
    app = next((module for module in program.modules if module.is_app), None)
    if app is None:
        return start
    for module, node in _order(program, app, set()):
        if _brings_spaces(program, module, node):
            start.spaces = (module, node, "spaces")
            start.is_spaces_itself = "spaces" in _imports_of(module, node)
            return start
        imported = _torch_import(program, module, node)
        if imported and start.torch is None:
            start.torch = (module, node, imported)
        used = _cuda_use(program, module, node)
        if used and start.cuda is None and not module.is_apart_from_zerogpu(node):
            start.cuda = (module, node, used)
    return start


def _order(program: Program, module: Module, seen: set[str]) -> Iterator[tuple[Module, ast.AST]]:
    seen.add(module.name)
    for node in at_import(module):
        for name in _imports_of(module, node):
            other = program.by_name.get(name)
            if other is not None and other.name not in seen:
                yield from _order(program, other, seen)
        yield module, node


def _imports_of(module: Module, node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        home = home_of(node, module.package)
        names = [home, *(f"{home}.{alias.name}" for alias in node.names)]
    else:
        return
    for name in names:
        parts = name.split(".")
        yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _brings_spaces(program: Program, module: Module, node: ast.AST) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = list(_imports_of(module, node))
        if "spaces" in names and "spaces" not in program.by_name:
            return True
        return bool(set(names) & _DOORS) or "zerokit.*" in names
    if isinstance(node, ast.Name | ast.Attribute):
        return (program.full_name(module, node) or "") in _DOORS
    return False


def _torch_import(program: Program, module: Module, node: ast.AST) -> str:
    """The package that brings torch, where the node imports one."""
    if not isinstance(node, ast.Import | ast.ImportFrom):
        return ""
    tops = {name.partition(".")[0] for name in _imports_of(module, node)} - set(program.by_name)
    return next(iter(sorted(tops & _BRINGS_TORCH)), "")


def _cuda_use(program: Program, module: Module, node: ast.AST) -> str:
    """What uses CUDA, where the node is a call that does."""
    if not isinstance(node, ast.Call):
        return ""
    full = program.full_name(module, node.func) or ""
    if full.removeprefix("torch.cuda.") in _ASKS_CUDA and full.startswith("torch.cuda."):
        return f"`{full}`"
    if isinstance(node.func, ast.Attribute):
        name = node.func.attr
        if name == "cuda" and not node.args and not full.startswith("torch.backends"):
            return "`.cuda()`"
        if name == "to" and any((text_of(arg) or "").startswith("cuda") for arg in node.args):
            return '`.to("cuda")`'
    for name in ("device", "device_map"):
        if (text_of(keyword(node, name)) or "").startswith("cuda"):
            return f'`{name}="cuda"`'
    return ""
