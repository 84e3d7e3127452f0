"""Rules about GPU calls: what is decorated, how often it is called, and what it hands back."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ...quota.platform import PLANS
from ..events import CHAINED
from ..findings import Spot
from ..gpu import GPUFunction
from ..program import Function
from ..results import cuda_tensor, unpicklable
from ..rule import rule
from ..source import line_of
from ..space import Space
from ..ways import longest

_HEAD = """import gradio as gr
import spaces
import torch

"""
_ADD = """
@spaces.GPU(duration=5)
def add(a, b):
    return (torch.tensor(a).cuda() + b).item()

"""
_RUNS = PLANS["free"].runs
_LOOPS = (ast.For, ast.While, ast.AsyncFor, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@rule(
    "ZK401",
    "error",
    "A coroutine is decorated",
    why="ZeroGPU refuses coroutine functions while the Space starts: the work is done in another process.",
    advice="Write `def`. Gradio runs it in a thread of its own, so nobody waits for it.",
    wrong=f"{_HEAD}\n@spaces.GPU(duration=5)\nasync def add(a, b):\n    return (torch.tensor(a).cuda() + b).item()\n",
    right=f"{_HEAD}{_ADD}",
)
def coroutine(space: Space) -> Iterator[Spot]:
    for found in space.gpu.functions if space.is_zero_gpu else ():
        if isinstance(found.function.node, ast.AsyncFunctionDef):
            yield Spot(found.module.path, line_of(found.function.node), f"`{found.function.label}` is `async def`.")


@rule(
    "ZK402",
    "warning",
    "A GPU call in a loop",
    why=f"Each call is a run of the visitor, and a free account has {_RUNS} a day. Each also reserves its own seconds "
    "and waits in the queue.",
    advice="Put the loop into the GPU function, and reserve for all of it.",
    wrong=f"""{_HEAD}{_ADD}
def add_all(numbers):
    return [add(number, 1) for number in numbers]


gr.Interface(add_all, gr.JSON(), gr.JSON(), concurrency_limit=None).launch()
""",
    right=f"""{_HEAD}
@spaces.GPU(duration=5)
def add_all(numbers):
    return [(torch.tensor(number).cuda() + 1).item() for number in numbers]


gr.Interface(add_all, gr.JSON(), gr.JSON(), concurrency_limit=None).launch()
""",
)
def call_in_loop(space: Space) -> Iterator[Spot]:
    for function, call, found in _calls_outside(space):
        if _is_in_loop(function, call):
            message = f"`{found.function.label}` is called again and again."
            yield Spot(function.module.path, line_of(call), message)


@rule(
    "ZK403",
    "warning",
    "Several GPU calls for one click",
    why=f"Each call is a run of the visitor, and a free account has {_RUNS} a day. Each also reserves its own seconds, "
    "and may start a worker with its own copy of the weights.",
    advice="Do both in one GPU function: GPU functions that it calls run in the same call.",
    wrong=f"""{_HEAD}{_ADD}
def twice(a, b):
    return add(add(a, b), b)


gr.Interface(twice, ["number", "number"], "number", concurrency_limit=None).launch()
""",
    right=f"""{_HEAD}{_ADD}
@spaces.GPU(duration=5)
def twice(a, b):
    return add(add(a, b), b)


gr.Interface(twice, ["number", "number"], "number", concurrency_limit=None).launch()
""",
)
def several_calls(space: Space) -> Iterator[Spot]:
    for function in _handlers_outside(space):
        calls = {call for inside, call, _ in _calls_outside(space) if inside is function}
        path = longest(list(getattr(function.node, "body", [])) if not _is_lambda(function) else [], calls)
        if len(path) > 1:
            first = min(line_of(call) for call in path)
            message = f"`{function.label}` makes {len(path)} GPU calls, the first here."
            yield Spot(function.module.path, first, message)
    for event in space.events if space.is_zero_gpu else ():
        before = event.call.func.value if isinstance(event.call.func, ast.Attribute) else None
        earlier = next((other for other in space.events if other.call is before), None)
        if event.kind in CHAINED and event.gpu is not None and earlier is not None and earlier.gpu is not None:
            message = f"`{event.gpu.function.label}` follows `{earlier.gpu.function.label}` in the same click."
            yield Spot(event.module.path, event.call.func.end_lineno or line_of(event.call), message)


@rule(
    "ZK404",
    "warning",
    "Text is sent token by token",
    why="Each value that a GPU function yields is pickled, sent to the main process and on to the page, with the GPU "
    "held meanwhile: the whole text so far, for each token.",
    advice="Yield a few times a second, or the whole text at its end. `@zerokit.gpu` and `ZeroChat` do.",
    wrong="""
from threading import Thread

import spaces
from transformers import AutoModelForCausalLM, AutoTokenizer, TextIteratorStreamer

tokenizer = AutoTokenizer.from_pretrained("Qwen/Qwen3-4B-Instruct-2507")
model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-4B-Instruct-2507", dtype="auto").to("cuda")


@spaces.GPU(duration=30)
def reply(message):
    inputs = tokenizer(message, return_tensors="pt").to(model.device)
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True)
    Thread(target=model.generate, kwargs=dict(inputs, streamer=streamer, max_new_tokens=200)).start()
    text = ""
    for new in streamer:
        text += new
        yield text
""",
    right="""
import time
from threading import Thread

import spaces
from transformers import AutoModelForCausalLM, AutoTokenizer, TextIteratorStreamer

tokenizer = AutoTokenizer.from_pretrained("Qwen/Qwen3-4B-Instruct-2507")
model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-4B-Instruct-2507", dtype="auto").to("cuda")


@spaces.GPU(duration=30)
def reply(message):
    inputs = tokenizer(message, return_tensors="pt").to(model.device)
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True)
    Thread(target=model.generate, kwargs=dict(inputs, streamer=streamer, max_new_tokens=200)).start()
    text, shown = "", time.monotonic()
    for new in streamer:
        text += new
        if time.monotonic() - shown > 0.3:
            shown = time.monotonic()
            yield text
    yield text
""",
)
def token_by_token(space: Space) -> Iterator[Spot]:
    for found in space.visited if space.is_zero_gpu else ():
        if found.maker != "spaces":
            continue
        streamers = _streamers(space, found.function)
        for loop in ast.walk(found.function.node):
            if isinstance(loop, ast.For) and isinstance(loop.iter, ast.Name) and loop.iter.id in streamers:
                for statement in loop.body:
                    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Yield):
                        message = f"`{found.function.label}` yields once for each token."
                        yield Spot(found.module.path, line_of(statement), message)


@rule(
    "ZK405",
    "error",
    "A tensor on the GPU is handed back",
    why="Results are pickled on their way out of the worker. A tensor that lies on the GPU cannot leave it: the call "
    "hangs until its time is over.",
    advice="Bring it to the CPU first: `.cpu()`, or `.item()`, `.tolist()`, `.cpu().numpy()`.",
    wrong=f"{_HEAD}\n@spaces.GPU(duration=5)\ndef add(a, b):\n    return torch.tensor(a).cuda()\n",
    right=f"{_HEAD}\n@spaces.GPU(duration=5)\ndef add(a, b):\n    return torch.tensor(a).cuda().cpu()\n",
)
def cuda_result(space: Space) -> Iterator[Spot]:
    for found in space.gpu.functions if space.is_zero_gpu else ():
        if found.maker == "spaces":
            for node, what in cuda_tensor(space.program, found.function, space.models):
                yield Spot(found.module.path, line_of(node), f"`{found.function.label}` hands back {what}.")


@rule(
    "ZK406",
    "error",
    "The result cannot leave the worker",
    why="Results are pickled on their way out of the worker. Functions that are made inside another, open files and "
    "generators cannot be.",
    advice="Hand back plain data: text, numbers, arrays, pictures, the path of a file.",
    wrong=f"{_HEAD}\n@spaces.GPU(duration=5)\ndef adder(a):\n    return lambda b: torch.tensor(a).cuda() + b\n",
    right=f"{_HEAD}{_ADD}",
)
def unpicklable_result(space: Space) -> Iterator[Spot]:
    for found in space.gpu.functions if space.is_zero_gpu else ():
        for node, what in unpicklable(space.program, found.function):
            yield Spot(found.module.path, line_of(node), f"`{found.function.label}` hands back {what}.")


def _handlers_outside(space: Space) -> list[Function]:
    """Functions that a click runs in the main process."""
    if not space.is_zero_gpu:
        return []
    on_gpu = {found.function.name for found in space.gpu.functions}
    starts = [event.handler for event in space.events if event.handler is not None]
    inside = {f.name for f in space.program.reached(found.function for found in space.gpu.functions)}
    reached = space.program.reached(handler for handler in starts if handler.name not in on_gpu)
    return [function for function in reached if function.name not in inside]


def _calls_outside(space: Space) -> Iterator[tuple[Function, ast.Call, GPUFunction]]:
    for function in _handlers_outside(space):
        for call, _ in space.program.calls(function.module, function.node):
            if space.program.scope(function.module, call) is function:
                found = space.gpu.called(function.module, call.func)
                if found is not None:
                    yield function, call, found


def _is_lambda(function: Function) -> bool:
    return isinstance(function.node, ast.Lambda)


def _is_in_loop(function: Function, call: ast.Call) -> bool:
    inner: ast.AST = call
    for outer in function.module.around(call):
        if outer is function.node:
            return False
        if isinstance(outer, _LOOPS):
            once = getattr(outer, "iter", None) if isinstance(outer, ast.For | ast.AsyncFor) else None
            first = getattr(outer, "generators", [None])[0]
            ends = isinstance(outer, ast.While | ast.For) and any(
                isinstance(statement, ast.Return | ast.Break) for statement in outer.body
            )
            if inner is not once and inner is not first and not ends:
                return True
        inner = outer
    return False


def _streamers(space: Space, function: Function) -> set[str]:
    """Local variables that hold a text streamer."""
    return {
        target.id
        for node in ast.walk(function.node)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        for target in node.targets
        if isinstance(target, ast.Name)
        and (space.program.full_name(function.module, node.value.func, function) or "").endswith("TextIteratorStreamer")
    }
