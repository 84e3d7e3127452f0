"""Which functions of a Space run on the GPU, and what they ask for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .program import Function, Program
from .source import Module, keyword, text_of

SPACES_GPU = ("spaces.GPU", "spaces.zero.decorator.GPU", "spaces.decorator.GPU", "spaces.zero.GPU")
ZEROKIT_GPU = ("zerokit.gpu", "zerokit.calls.function.gpu")
BLOCKS = ("ZeroChat", "ZeroDiffusion", "ZeroLoRA")
"""ZeroKit's blocks, which bring a GPU function of their own."""


@dataclass(frozen=True, eq=False)
class GPUFunction:
    """A function that the Space sends to the GPU."""

    function: Function
    module: Module
    line: int
    """Of its decorator, or of the call that decorates it."""
    maker: Literal["spaces", "zerokit"]
    duration: ast.expr | None = None
    size: str | None = None
    is_plain: bool = True
    """Whether what it asks for is all written here; not so behind a decorator of the Space's own."""


@dataclass(frozen=True, eq=False)
class Decoration:
    """What a decorator asks for."""

    maker: Literal["spaces", "zerokit"]
    duration: ast.expr | None = None
    size: str | None = None
    is_plain: bool = True


class GPU:
    """All GPU functions of a program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.functions: list[GPUFunction] = []
        self.names: dict[str, GPUFunction] = {}
        """By the names they are called by."""
        self.blocks = [
            (module, call, full)
            for module in program.modules
            for call, full in program.calls(module)
            if full.startswith("zerokit.") and full.rpartition(".")[2] in BLOCKS
        ]
        self.is_mentioned = bool(self.blocks) or any(_mentions(program, module) for module in program.modules)
        """Whether anything in the Space is decorated, also where it cannot be told what."""
        for function in list(program.functions.values()):
            self._find_decorated(function)
        for module in program.modules:
            self._find_wrapped(module)

    def called(self, module: Module, node: ast.AST) -> GPUFunction | None:
        """The GPU function that an expression names."""
        scope = self.program.scope(module, node)
        if isinstance(node, ast.Call) and self.program.full_name(module, node.func, scope) == "functools.partial":
            return self.called(module, node.args[0]) if node.args else None
        name = self.program.full_name(module, node, scope)
        return self.names.get(name or "")

    def _find_decorated(self, function: Function) -> None:
        if isinstance(function.node, ast.Lambda):
            return
        for decorator in function.node.decorator_list:
            found = self.decoration(function.module, decorator)
            if found is not None:
                self._add(function.name, function, function.module, decorator.lineno, found)

    def _find_wrapped(self, module: Module) -> None:
        """`fast = spaces.GPU(slow)`, `spaces.GPU(duration=30)(slow)` and the like."""
        for call, _ in self.program.calls(module):
            if not call.args:
                continue
            scope = self.program.scope(module, call)
            function = self.program.function(module, call.args[0], scope)
            found = self.decoration(module, call.func) if function is not None else None
            if function is None or found is None:
                continue
            if isinstance(call.func, ast.Name | ast.Attribute):
                found = self._asked(call, found.maker, found.is_plain)
            self._add(self._target(module, call), function, module, call.lineno, found)

    def _add(self, name: str | None, function: Function, module: Module, line: int, found: Decoration) -> None:
        added = GPUFunction(function, module, line, found.maker, found.duration, found.size, found.is_plain)
        if all(known.function is not function for known in self.functions):
            self.functions.append(added)
        if name is not None:
            self.names[name] = added

    def _target(self, module: Module, call: ast.Call) -> str | None:
        around = module.parents.get(call)
        if isinstance(around, ast.Assign) and isinstance(around.targets[0], ast.Name):
            return f"{module.name}.{around.targets[0].id}"
        return None

    def decoration(self, module: Module, node: ast.expr) -> Decoration | None:
        """What a decorator asks for; None where it is not one for the GPU."""
        if isinstance(node, ast.IfExp):
            return self.decoration(module, node.body) or self.decoration(module, node.orelse)
        named = node.func if isinstance(node, ast.Call) else node
        full = self.program.full_name(module, named, self.program.scope(module, node)) or ""
        maker = _maker(full)
        if maker is not None:
            return self._asked(node, maker, True) if isinstance(node, ast.Call) else Decoration(maker)
        value = self.program.values.get(full)
        if isinstance(value, ast.Call) and named is node:
            home = self.program.by_name.get(full.rpartition(".")[0], module)
            return self.decoration(home, value) if _maker(self.program.full_name(home, value.func) or "") else None
        function = self.program.functions.get(full)
        if function is not None and any(_is_gpu(self.program, function.module, n) for n in ast.walk(function.node)):
            return None if self._runs_on_gpu_itself(function) else Decoration("spaces", is_plain=False)
        return None

    def _runs_on_gpu_itself(self, function: Function) -> bool:
        """Whether a function that names the decorator is decorated with it, and is no decorator itself."""
        decorators = getattr(function.node, "decorator_list", [])
        return any(_is_gpu(self.program, function.module, n) for d in decorators for n in ast.walk(d))

    def _asked(self, call: ast.Call, maker: Literal["spaces", "zerokit"], is_plain: bool) -> Decoration:
        duration, size = keyword(call, "duration"), text_of(keyword(call, "size"))
        first = call.args[0] if call.args else None
        if maker == "spaces" and duration is None and isinstance(first, ast.Constant):
            if isinstance(first.value, str):
                size = size or first.value
            else:
                duration = first
        return Decoration(maker, duration, size, is_plain and not any(k.arg is None for k in call.keywords))


def _maker(full: str) -> Literal["spaces", "zerokit"] | None:
    if full in SPACES_GPU:
        return "spaces"
    return "zerokit" if full in ZEROKIT_GPU else None


def _is_gpu(program: Program, module: Module, node: ast.AST) -> bool:
    if not isinstance(node, ast.Name | ast.Attribute) or not isinstance(node.ctx, ast.Load):
        return False
    return _maker(program.full_name(module, node, program.scope(module, node)) or "") is not None


def _mentions(program: Program, module: Module) -> bool:
    """Whether a module names the decorator, or imports parts of ZeroKit that do."""
    imported = any(full.startswith(("zerokit.blocks.", "zerokit.calls.")) for full in module.names.values())
    return imported or any(
        _is_gpu(program, module, node) or _reaches_for_it(program, module, node) for node in ast.walk(module.tree)
    )


def _reaches_for_it(program: Program, module: Module, node: ast.AST) -> bool:
    """Whether it is found in another way: `getattr(spaces, "GPU")`, `import_module("spaces")`, wrapped by Gradio."""
    if isinstance(node, ast.Call):
        full = (program.full_name(module, node.func) or "").rpartition(".")[2]
        given = [text_of(argument) for argument in node.args]
        return (full == "getattr" and "GPU" in given) or (full in ("import_module", "__import__") and "spaces" in given)
    return isinstance(node, ast.Attribute) and node.attr in ("enable_gradio_auto_wrap", "gradio_auto_wrap")


def blocks_named(gpu: GPU, *names: str) -> Iterator[tuple[Module, ast.Call]]:
    """The calls that make these blocks of ZeroKit."""
    return ((module, call) for module, call, full in gpu.blocks if full.rpartition(".")[2] in names)
