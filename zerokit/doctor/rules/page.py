"""Rules about what a click does besides: shared state, files, the queue, examples."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from packaging.version import InvalidVersion, Version

from ...quota.platform import BILLED_GRADIO
from ..findings import Spot
from ..program import Function
from ..rule import rule
from ..source import Module, is_true, keyword, line_of, said, text_of
from ..space import Space
from ..written import fixed_path, written_paths

_APP = """import gradio as gr
import spaces
import torch
{before}

@spaces.GPU(duration=5)
def add(a, b):
    return (torch.tensor(a).cuda() + b).item()

{handler}
gr.Interface(run, ["number", "number"], "number"{more}).launch()
"""
_MORE = ", concurrency_limit=None"
_PLAIN = "\ndef run(a, b):\n    return add(a, b)\n"
_CHANGES = {"append", "extend", "insert", "remove", "pop", "clear", "update", "add", "discard", "setdefault", "popitem"}
_CONTAINERS = {"list", "dict", "set", "collections.defaultdict", "collections.deque", "collections.OrderedDict"}


@rule(
    "ZK407",
    "warning",
    "A click changes what all visitors share",
    why="Variables of a module are one for all visitors, and clicks run side by side on ZeroGPU: one sees what another "
    "left. What a GPU function changes is lost, for it runs in another process.",
    advice="Keep it in a `gr.State`, or hand it in and out as an argument and a result.",
    wrong=_APP.format(
        before="\nhistory = []\n",
        handler="\ndef run(a, b):\n    history.append(add(a, b))\n    return sum(history)\n\n",
        more=_MORE,
    ),
    right=_APP.format(before="", handler=f"{_PLAIN}\n", more=_MORE),
)
def shared_state(space: Space) -> Iterator[Spot]:
    for function in space.in_handlers if space.is_zero_gpu else ():
        if _is_guarded(function) or _is_of_a_library(function.module):
            continue
        first = {name: node for node, name in reversed(list(_changes(space, function)))}
        for name, node in first.items():
            variable = name.rpartition(".")[2]
            yield Spot(function.module.path, line_of(node), f"`{function.label}` changes `{variable}`.")


@rule(
    "ZK408",
    "warning",
    "All visitors write to one file",
    why="Clicks run side by side on ZeroGPU: of two visitors at a time, one may get the other's file.",
    advice="Write to a new file, such as one in `tempfile.mkdtemp()`, or hand the value to Gradio without a file.",
    wrong=_APP.format(
        before="\n",
        handler='\ndef run(a, b):\n    with open("sum.txt", "w") as file:\n        file.write(str(add(a, b)))\n'
        "    return a\n\n",
        more=_MORE,
    ),
    right=_APP.format(
        before="import tempfile\n\n",
        handler="\ndef run(a, b):\n"
        '    with tempfile.NamedTemporaryFile("w", suffix=".txt", delete=False) as file:\n'
        "        file.write(str(add(a, b)))\n    return a\n\n",
        more=_MORE,
    ),
)
def fixed_files(space: Space) -> Iterator[Spot]:
    for function in space.in_handlers if space.is_zero_gpu else ():
        for call, node in written_paths(space.program, function):
            path = fixed_path(space.program, function, node)
            if path:
                message = f"`{function.label}` writes to {path[:60]!r} each time."
                yield Spot(function.module.path, line_of(call), message)


@rule(
    "ZK409",
    "warning",
    "One visitor at a time",
    why="Gradio runs an event for one visitor at a time unless it is told otherwise. On ZeroGPU each call gets a GPU "
    "of its own, so the others wait for nothing.",
    advice="Say `concurrency_limit=None` at the event, or `demo.queue(default_concurrency_limit=None)`.",
    wrong=_APP.format(before="", handler=f"{_PLAIN}\n", more=""),
    right=_APP.format(before="", handler=f"{_PLAIN}\n", more=_MORE),
)
def one_at_a_time(space: Space) -> Iterator[Spot]:
    if not space.is_zero_gpu or not space.gpu.functions:
        return
    if any("CONCURRENCY_LIMIT" in m.text or "concurrency_limit" in m.text for m in space.program.modules):
        return
    gpu = {found.function.name for found in space.visited}
    for event in space.events:
        is_queued = getattr(keyword(event.call, "queue"), "value", None) is not False
        if event.handler is None or event.kind == "Examples" or not is_queued:
            continue
        if event.gpu is not None or gpu & {function.name for function in space.program.reached([event.handler])}:
            message = f"`{event.handler.label}` runs for one visitor at a time."
            yield Spot(event.module.path, line_of(event.call), message)
            return


@rule(
    "ZK410",
    "warning",
    "Examples are run for nobody",
    why="Examples that are cached while the Space starts make GPU calls without a visitor: they are billed to the "
    f"Space itself, and may keep it from starting. Before Gradio {BILLED_GRADIO} that was so with lazy caching too.",
    advice='Say `cache_mode="lazy"` with a newer Gradio, or `cache_examples=False`.',
    wrong=_APP.format(
        before="",
        handler=f"{_PLAIN}\n",
        more=f'{_MORE}, examples=[[1, 2]], cache_examples=True, cache_mode="eager"',
    ),
    right=_APP.format(
        before="",
        handler=f"{_PLAIN}\n",
        more=f'{_MORE}, examples=[[1, 2]], cache_examples=True, cache_mode="lazy"',
    ),
    fixable=True,
)
def eager_examples(space: Space) -> Iterator[Spot]:
    gpu = {found.function.name for found in space.gpu.functions}
    for event in space.events if space.is_zero_gpu else ():
        if event.kind not in ("Examples", "Interface", "ChatInterface") or event.handler is None:
            continue
        if not gpu & {function.name for function in space.program.reached([event.handler])}:
            continue
        cached, mode = keyword(event.call, "cache_examples"), text_of(keyword(event.call, "cache_mode"))
        if not is_true(cached) and text_of(cached) != "lazy":
            continue
        if mode == "eager":
            line = line_of(keyword(event.call, "cache_mode") or event.call)
            yield Spot(event.module.path, line, "These examples are cached while the Space starts.", fixable=True)
        elif _is_older(space.card.get("sdk_version"), BILLED_GRADIO):
            message = f"Gradio {space.card.get('sdk_version')} caches these examples at the Space's expense."
            yield Spot(event.module.path, line_of(event.call), message)


def _is_of_a_library(module: Module) -> bool:
    """Whether a module lies in a package beside the app, as copies of libraries do, with their own registers."""
    return "." in module.name


def _changes(space: Space, function: Function) -> Iterator[tuple[ast.AST, str]]:
    """Where a function changes variables of modules: their full names."""
    shared = {name for node in ast.walk(function.node) if isinstance(node, ast.Global) for name in node.names}
    for node in ast.walk(function.node):
        if isinstance(node, ast.Name | ast.Subscript) and _holds_model(space, function, node):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in shared:
            yield node, f"{function.module.name}.{node.id}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGES:
            yield from _container(space, function, node, node.func.value)
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            yield from _container(space, function, node, node.value)


def _container(space: Space, function: Function, node: ast.AST, held: ast.expr) -> Iterator[tuple[ast.AST, str]]:
    """A change of a list, dict or set that a module holds; one that is used as a cache is left alone."""
    scope = space.program.scope(function.module, node) or function
    name = space.program.full_name(function.module, held, scope) if isinstance(held, ast.Name | ast.Attribute) else None
    value = space.program.values.get(name or "")
    if name is None or value is None or not _is_container(space, function.module, value):
        return
    short = name.rpartition(".")[2]
    if "cache" in short.lower() or _is_looked_up(function, said(held)):
        return
    yield node, name


def _is_container(space: Space, module: Module, value: ast.expr) -> bool:
    if isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp):
        return True
    if not isinstance(value, ast.Call):
        return False
    return said(value.func) in _CONTAINERS or space.program.full_name(module, value.func) in _CONTAINERS


def _is_looked_up(function: Function, held: str) -> bool:
    """Whether a function asks first whether something is in it, as a cache does."""
    for node in ast.walk(function.node):
        if isinstance(node, ast.Compare) and any(isinstance(op, ast.In | ast.NotIn) for op in node.ops):
            if held in [said(other) for other in node.comparators]:
                return True
        elif isinstance(node, ast.Call) and said(node.func) == f"{held}.get":
            return True
    return False


def _holds_model(space: Space, function: Function, node: ast.AST) -> bool:
    """Whether what is assigned is a model, which other rules speak of."""
    calls = {load.call for load in space.loads if load.module is function.module}
    for outer in function.module.around(node):
        if isinstance(outer, ast.Assign | ast.AnnAssign) and outer.value is not None:
            made = any(inner in calls or _is_loader(inner) for inner in ast.walk(outer.value))
            return made or _is_first_time(function, outer)
        if isinstance(outer, ast.stmt):
            return False
    return False


def _is_loader(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "from_pretrained"


def _is_first_time(function: Function, node: ast.AST) -> bool:
    """Whether it is done only where nothing was there yet: `if x is None`, `if not x`."""
    tests = [said(outer.test) for outer in function.module.around(node) if isinstance(outer, ast.If)]
    return any("None" in test or test.startswith("not ") for test in tests)


def _is_guarded(function: Function) -> bool:
    """Whether the function takes a lock, so that its author has thought of others."""
    return any(
        "lock" in said(item.context_expr).lower()
        for node in ast.walk(function.node)
        if isinstance(node, ast.With | ast.AsyncWith)
        for item in node.items
    )


def _is_older(version: str, than: str) -> bool:
    try:
        return bool(version) and Version(version) < Version(than)
    except InvalidVersion:
        return False
