"""Where a Space loads its models, and which variables hold them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from .program import Function, Program
from .source import Module, has_double_star, keyword, text_of

_LOADERS = ("from_pretrained", "from_single_file")
_LIGHT = ("Config", "FeatureExtractor", "Processor", "Scheduler", "Tokenizer")
"""Parts of class names of what is loaded in no time and stays on the CPU."""
_FUNCTIONS = (
    "sentence_transformers.SentenceTransformer",
    "torch.hub.load",
    "transformers.pipeline",
    "transformers.pipelines.pipeline",
    "whisper.load_model",
)


@dataclass(frozen=True, eq=False)
class Load:
    """One call that loads a model."""

    module: Module
    call: ast.Call
    what: str
    """The full name of what is called; its class at least, such as "diffusers.FluxPipeline"."""
    scope: Function | None

    @property
    def kind(self) -> str:
        """The class, "FluxPipeline", or the function, "torch.hub.load"."""
        parts = self.what.split(".")
        return parts[-2] if parts[-1] in _LOADERS else self.what

    @property
    def has_all_written(self) -> bool:
        """Whether every keyword is written here."""
        return not has_double_star(self.call)


def find_loads(program: Program) -> list[Load]:
    """Every call that loads a model's weights."""
    return [load for module in program.modules for load in _loads_in(program, module)]


def _loads_in(program: Program, module: Module) -> Iterator[Load]:
    for call, full in program.calls(module):
        scope = program.scope(module, call)
        if full in _FUNCTIONS:
            yield Load(module, call, full, scope)
        elif isinstance(call.func, ast.Attribute) and call.func.attr in _LOADERS:
            owner = full.split(".")[-2] if full.count(".") else ""
            if owner and not any(word in owner for word in _LIGHT):
                yield Load(module, call, full, scope)


def model_variables(program: Program, loads: list[Load]) -> dict[str, Load]:
    """The variables of modules that hold a model, by full name: also where `.to(...)` or the like follows."""
    found = {}
    by_call = {load.call: load for load in loads}
    for name, value in program.values.items():
        inner: ast.AST = value
        while isinstance(inner, ast.Call) and inner not in by_call and isinstance(inner.func, ast.Attribute):
            inner = inner.func.value
        if isinstance(inner, ast.Call) and inner in by_call:
            found[name] = by_call[inner]
    return found


def move(call: ast.Call) -> ast.expr | None:
    """What is moved to a device by `x.to(...)`, `x.cuda()` or `x.cpu()`: x. None where the call does something else."""
    if not isinstance(call.func, ast.Attribute):
        return None
    if call.func.attr in ("cuda", "cpu"):
        return call.func.value
    if call.func.attr != "to":
        return None
    devices = [*call.args, *([device] if (device := keyword(call, "device")) is not None else [])]
    return call.func.value if any(_is_device(node) for node in devices) else None


def _is_device(node: ast.expr) -> bool:
    if text := text_of(node):
        return text.startswith(("cuda", "cpu", "mps"))
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr == "device"
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return "device" in name.lower()
