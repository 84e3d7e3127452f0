"""What a function hands back, as far as it can be told: tensors on the GPU, and what cannot be pickled."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from .models import Load
from .program import Function, Program
from .source import keyword, said, text_of

_SAFE = ("cpu", "detach_cpu", "item", "tolist", "numpy")


def results(function: Function) -> Iterator[ast.expr]:
    """Every expression that the function itself returns or yields, tuples and lists taken apart."""
    if isinstance(function.node, ast.Lambda):
        yield from _parts(function.node.body)
        return
    for node in ast.walk(function.node):
        if not isinstance(node, ast.Return | ast.Yield) or node.value is None:
            continue
        if function.module.function_around(node) is function.node:
            yield from _parts(node.value)


def _parts(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.Tuple | ast.List):
        for part in node.elts:
            yield from _parts(part)
    elif isinstance(node, ast.IfExp):
        yield from _parts(node.body)
        yield from _parts(node.orelse)
    else:
        yield node


def cuda_tensor(program: Program, function: Function, models: Mapping[str, Load]) -> Iterator[tuple[ast.expr, str]]:
    """The results that are tensors on the GPU without doubt."""
    for node in results(function):
        value = _value(function, node)
        if isinstance(value, ast.Call) and _is_on_cuda(program, function, value, models):
            yield node, f"`{said(node)[:60]}`, which lies on the GPU"


def unpicklable(program: Program, function: Function) -> Iterator[tuple[ast.expr, str]]:
    """The results that cannot be pickled without doubt."""
    for node in results(function):
        value = _value(function, node)
        if isinstance(value, ast.Lambda):
            yield node, "a lambda"
        elif isinstance(value, ast.GeneratorExp):
            yield node, "a generator"
        elif isinstance(value, ast.Call) and program.full_name(function.module, value.func, function) is None:
            continue
        elif isinstance(value, ast.Call) and said(value.func) == "open" and not _is_closed(function, node):
            yield node, "an open file"
        elif isinstance(node, ast.Name) and _is_made_inside(function, node.id):
            yield node, f"the function `{node.id}`, which is made inside it"


def _value(function: Function, node: ast.expr) -> ast.expr:
    """What a local variable was assigned where that happens only once; else the node itself."""
    if not isinstance(node, ast.Name):
        return node
    stores = [n for n in ast.walk(function.node) if isinstance(n, ast.Name) and n.id == node.id]
    stores = [n for n in stores if isinstance(n.ctx, ast.Store)]
    if len(stores) != 1:
        return node
    around = function.module.parents.get(stores[0])
    return around.value if isinstance(around, ast.Assign) and around.targets == [stores[0]] else node


def _is_on_cuda(program: Program, function: Function, call: ast.Call, models: Mapping[str, Load]) -> bool:
    full = program.full_name(function.module, call.func, function) or ""
    if full.startswith("torch.") and (text_of(keyword(call, "device")) or "").startswith("cuda"):
        return full.count(".") == 1 and not full.endswith("device")
    if not isinstance(call.func, ast.Attribute):
        return False
    name, owner = call.func.attr, call.func.value
    if name == "generate":
        load = models.get(program.full_name(function.module, owner, function) or "")
        return load is not None and load.what.startswith("transformers.AutoModelFor")
    if not _is_tensor(program, function, owner):
        return False
    return name == "cuda" or (name == "to" and any((text_of(arg) or "").startswith("cuda") for arg in call.args))


def _is_tensor(program: Program, function: Function, node: ast.expr) -> bool:
    """Whether an expression is made by torch itself."""
    value = _value(function, node)
    while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        full = program.full_name(function.module, value.func, function) or ""
        if full.startswith("torch.") and full.count(".") == 1:
            return True
        value = _value(function, value.func.value)
    return False


def _is_closed(function: Function, node: ast.expr) -> bool:
    return any(isinstance(outer, ast.With) for outer in function.module.around(node))


def _is_made_inside(function: Function, name: str) -> bool:
    body = getattr(function.node, "body", [])
    inner = [n for n in body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)] if isinstance(body, list) else []
    return any(definition.name == name for definition in inner)
