"""Rules about loading models and placing them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeGuard

from ...quota.platform import size
from ..findings import Spot
from ..models import Load, move
from ..program import Function
from ..rule import rule
from ..source import Module, at_import, keyword, line_of, said, text_of
from ..space import Space

_APP = """import gradio as gr
import spaces
import torch
from diffusers import DiffusionPipeline

{before}

@spaces.GPU(duration=10)
def paint(prompt):
{inside}    return pipe(prompt).images[0]


gr.Interface(paint, "text", "image", concurrency_limit=None).launch()
"""
_LOAD = 'pipe = DiffusionPipeline.from_pretrained("stabilityai/sdxl-turbo", torch_dtype=torch.float16)'
_GOOD = _APP.format(before=f'{_LOAD}.to("cuda")\n', inside="")
_OFFLOADS = ("enable_model_cpu_offload", "enable_sequential_cpu_offload", "enable_group_offload")


@rule(
    "ZK206",
    "warning",
    "The model is loaded inside the GPU function",
    why="Whenever a worker is new, the weights are read again, in GPU seconds that the visitor pays. What is loaded at "
    "module level is kept ready by the platform.",
    advice='Load it at module level and place it there with `.to("cuda")`.',
    wrong=_APP.format(before="", inside=f'    {_LOAD}.to("cuda")\n'),
    right=_GOOD,
)
def loaded_inside(space: Space) -> Iterator[Spot]:
    for load, _ in _loads_in_worker(space):
        if not _is_lazy(space, load):
            yield Spot(load.module.path, line_of(load.call), f"`{load.kind}` is loaded in each new worker.")


@rule(
    "ZK207",
    "warning",
    "The model is moved inside the GPU function",
    why="Moving weights takes seconds of each call that the visitor pays. What stands on cuda at module "
    "level is brought to the card by `spaces` in the quickest way it can, before the function begins.",
    advice='Place it once, at module level: `.to("cuda")`. Leave offloading to the CPU out: a call has '
    f"{size('large').label}.",
    wrong=_APP.format(before=f"{_LOAD}\n", inside='    pipe.to("cuda")\n'),
    right=_GOOD,
)
def moved_inside(space: Space) -> Iterator[Spot]:
    for function in space.in_worker if space.is_zero_gpu else ():
        for call, _ in space.program.calls(function.module, function.node):
            moved = move(call)
            name = space.program.full_name(function.module, moved, function) if moved is not None else None
            if name in space.models:
                yield Spot(function.module.path, line_of(call), f"`{said(call)[:60]}` moves all of its weights.")
    for module in space.program.modules if space.is_zero_gpu else ():
        for call, _ in space.program.calls(module):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            if name in _OFFLOADS and not module.is_apart_from_zerogpu(call):
                yield Spot(module.path, line_of(call), f"`{name}` moves the weights in every call.")


@rule(
    "ZK208",
    "warning",
    "The model is loaded at the first call",
    why="A worker starts as a copy of the program as it was at the start, without the model: what a worker loads into "
    "a global is lost with that worker, and the next visitor pays for it again.",
    advice='Load it at module level, without the question whether it is there, and place it with `.to("cuda")`.',
    wrong=_APP.format(
        before="pipe = None\n",
        inside=f"    global pipe\n    if pipe is None:\n        {_LOAD}.to('cuda')\n",
    ),
    right=_GOOD,
)
def lazy_global(space: Space) -> Iterator[Spot]:
    for load, _ in _loads_in_worker(space):
        if _is_lazy(space, load):
            yield Spot(load.module.path, line_of(load.call), f"`{load.kind}` is loaded when it is first asked for.")


@rule(
    "ZK209",
    "warning",
    '`device_map="auto"`',
    why="It places layers by the memory that it finds, and while a ZeroGPU Space starts that is the whole card's, of "
    "which a call has half. Elsewhere parts of the model may land on the CPU or the disk, and are moved in every call.",
    advice='Say `device_map="cuda"`, or `.to("cuda")` after loading.',
    wrong="""
import spaces
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("Qwen/Qwen3-4B-Instruct-2507")
model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-4B-Instruct-2507", dtype="auto", device_map="auto")


@spaces.GPU(duration=30)
def reply(message):
    inputs = tokenizer(message, return_tensors="pt").to(model.device)
    return tokenizer.decode(model.generate(**inputs, max_new_tokens=100)[0])
""",
    right="""
import spaces
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("Qwen/Qwen3-4B-Instruct-2507")
model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-4B-Instruct-2507", dtype="auto").to("cuda")


@spaces.GPU(duration=30)
def reply(message):
    inputs = tokenizer(message, return_tensors="pt").to(model.device)
    return tokenizer.decode(model.generate(**inputs, max_new_tokens=100)[0])
""",
)
def device_map_auto(space: Space) -> Iterator[Spot]:
    for load in space.loads if space.is_zero_gpu else ():
        if text_of(keyword(load.call, "device_map")) == "auto" and not load.module.is_apart_from_zerogpu(load.call):
            yield Spot(load.module.path, line_of(load.call), f'`{load.kind}` is spread with `device_map="auto"`.')


@rule(
    "ZK210",
    "error",
    "`torch.compile` does not work",
    why="ZeroGPU does not support it: a worker that is new for each visitor would compile again, for minutes.",
    advice="Leave it out, or compile ahead of time with `spaces.aoti_compile` (torch 2.8 or newer).",
    wrong=_APP.format(before=f'{_LOAD}.to("cuda")\npipe.unet = torch.compile(pipe.unet)\n', inside=""),
    right=_GOOD,
)
def torch_compile(space: Space) -> Iterator[Spot]:
    live = {function.name for function in space.in_use}
    for module in space.program.modules if space.is_zero_gpu else ():
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Name | ast.Attribute) or module.is_apart_from_zerogpu(node):
                continue
            scope = space.program.scope(module, node)
            is_meant = space.program.full_name(module, node, scope) == "torch.compile"
            if is_meant and _is_used(module.parents.get(node)) and (scope is None or scope.name in live):
                yield Spot(module.path, line_of(node), "`torch.compile` is used.")


@rule(
    "ZK211",
    "warning",
    "The pipeline is in full precision",
    why="diffusers loads in float32 unless it is told otherwise. Half precision takes half the memory, "
    "comes to the card in half the time, and is computed faster.",
    advice="Say `torch_dtype=torch.float16`, or bfloat16 where the model's card asks for it.",
    wrong=_APP.format(
        before='pipe = DiffusionPipeline.from_pretrained("stabilityai/sdxl-turbo").to("cuda")\n', inside=""
    ),
    right=_GOOD,
)
def full_precision(space: Space) -> Iterator[Spot]:
    for load in space.loads if space.is_zero_gpu or space.has_own_gpu else ():
        is_pipeline = load.what.startswith("diffusers.") and "Pipeline" in load.kind
        told = any(k.arg in ("torch_dtype", "dtype", "quantization_config", "variant") for k in load.call.keywords)
        if is_pipeline and not told and load.has_all_written and not _is_made_half(space, load):
            yield Spot(load.module.path, line_of(load.call), f"`{load.kind}` is loaded without a dtype.")


@rule(
    "ZK212",
    "warning",
    "The model is run while the Space starts",
    why="While the Space starts there is no GPU: what is computed on cuda then is computed on the CPU, which may take "
    "minutes, and the worker gets nothing of it.",
    advice="Leave the trial run out.",
    wrong=_APP.format(before=f'{_LOAD}.to("cuda")\npipe("a trial run", num_inference_steps=1)\n', inside=""),
    right=_GOOD,
)
def run_at_start(space: Space) -> Iterator[Spot]:
    for module in space.program.modules if space.is_zero_gpu else ():
        for node in at_import(module):
            if not isinstance(node, ast.Call) or module.is_apart_from_zerogpu(node) or _is_captured(module, node):
                continue
            ran = node.func.value if _is_generate(node.func) else node.func
            name = space.program.full_name(module, ran)
            if name in space.models and "cuda" in said(space.program.values[name]):
                yield Spot(module.path, line_of(node), f"`{said(ran)}` is run.")


def _is_generate(node: ast.expr) -> TypeGuard[ast.Attribute]:
    return isinstance(node, ast.Attribute) and node.attr == "generate"


def _is_captured(module: Module, node: ast.AST) -> bool:
    """Whether it stands in a `with`, as the calls do that `spaces.aoti_capture` does not let happen."""
    return any(isinstance(outer, ast.With) for outer in module.around(node))


def _loads_in_worker(space: Space) -> Iterator[tuple[Load, Function]]:
    if not space.is_zero_gpu:
        return
    inside = {function.name: function for function in space.in_worker}
    ready = {function.name for function in space.in_start}
    for load in space.loads:
        if load.scope is None or load.scope.name not in inside:
            continue
        if not (load.scope.name in ready and _is_only_once(load)):
            yield load, load.scope


def _is_lazy(space: Space, load: Load) -> bool:
    """Whether what is loaded is kept in a global or an attribute, or by a cache, for the next call."""
    scope = load.scope
    if scope is None:
        return False
    if any("cache" in said(decorator) for decorator in getattr(scope.node, "decorator_list", [])):
        return True
    shared = {name for node in ast.walk(scope.node) if isinstance(node, ast.Global) for name in node.names}
    for outer in load.module.around(load.call):
        if isinstance(outer, ast.Assign | ast.AnnAssign):
            targets = outer.targets if isinstance(outer, ast.Assign) else [outer.target]
            names = [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
            return any(name in shared or name not in scope.bound for name in names)
    return False


def _is_only_once(load: Load) -> bool:
    """Whether a load is done only where it was not done before."""
    if any("cache" in said(decorator) for decorator in getattr(load.scope and load.scope.node, "decorator_list", [])):
        return True
    tests = [said(outer.test) for outer in load.module.around(load.call) if isinstance(outer, ast.If)]
    before = [said(node.test) for node in ast.walk(load.scope.node) if isinstance(node, ast.If)] if load.scope else []
    return any("None" in test or "not " in test or " in " in test for test in [*tests, *before])


def _is_made_half(space: Space, load: Load) -> bool:
    """Whether anything in the file brings models into half precision afterwards."""
    text = load.module.text
    return any(word in text for word in (".half()", "float16", "fp16", "bfloat16", "set_default_dtype"))


def _is_used(around: ast.AST | None) -> bool:
    """Whether a name is called or decorates, and is not only looked for."""
    return isinstance(around, ast.Call | ast.FunctionDef | ast.AsyncFunctionDef | ast.Assign | ast.keyword)
