"""Rules about the seconds that a function asks for."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ...quota.platform import DEFAULT_DECLARED_S, PLANS, declared_within, granted_s, reserved_s, size
from ..constants import seconds
from ..findings import Spot
from ..gpu import GPUFunction
from ..program import Function
from ..rule import rule
from ..source import said, text_of
from ..space import Space

_FACTOR = size("large").reserved_factor
_FREE, _ANONYMOUS = PLANS["free"], PLANS["anonymous"]
_SHORT_TASKS = frozenset(
    {
        *("audio-classification", "depth-estimation", "feature-extraction", "fill-mask", "image-classification"),
        *("image-feature-extraction", "ner", "object-detection", "question-answering", "sentiment-analysis"),
        *("text-classification", "token-classification", "zero-shot-classification", "zero-shot-image-classification"),
    }
)
"""Tasks of transformers' `pipeline` that are one pass through a model."""
_LONG = ("CogVideoX", "Hunyuan", "ImageToVideo", "LTX", "TextToVideo", "VideoToVideo", "WanPipeline", "WanImageToVideo")


@rule(
    "ZK301",
    "error",
    "More seconds than a free account may have",
    why=f"The platform compares what is reserved with what the visitor has left: a declared second reserves "
    f'{_FACTOR:g}, and {size("xlarge").reserved_factor:g} with size="xlarge". More than the {_FREE.base_s} s of a free '
    "account is refused at once, however little would be used.",
    advice=f"Declare what a call takes, {declared_within(_FREE.cap_s)} s at most, or give a function of the arguments.",
    wrong="""
import spaces
import torch


@spaces.GPU(duration=240)
def add(a, b):
    return (torch.tensor(a).cuda() + b).item()
""",
    right="""
import spaces
import torch


@spaces.GPU(duration=20)
def add(a, b):
    return (torch.tensor(a).cuda() + b).item()
""",
)
def more_than_free(space: Space) -> Iterator[Spot]:
    for found, declared, reserved in _static(space):
        if reserved > _FREE.cap_s:
            yield _too_long(found, declared, reserved, f"a free account has {_FREE.base_s} s a day")


@rule(
    "ZK302",
    "warning",
    "More seconds than a visitor without an account has",
    why=f"Who is not signed in has {_ANONYMOUS.base_s} s a day. A declared second reserves {_FACTOR:g}, so from "
    f"{declared_within(_ANONYMOUS.cap_s) + 1} s on every call of theirs is refused. Short reservations also wait less.",
    advice=f"Declare what a call takes, {declared_within(_ANONYMOUS.cap_s)} s at most, or give a function of the "
    "arguments.",
    wrong="""
import spaces
import torch


@spaces.GPU(duration=120)
def add(a, b):
    return (torch.tensor(a).cuda() + b).item()
""",
    right="""
import spaces
import torch


@spaces.GPU(duration=80)
def add(a, b):
    return (torch.tensor(a).cuda() + b).item()
""",
)
def more_than_anonymous(space: Space) -> Iterator[Spot]:
    for found, declared, reserved in _static(space):
        if _ANONYMOUS.cap_s < reserved <= _FREE.cap_s:
            yield _too_long(found, declared, reserved, f"who has no account has {_ANONYMOUS.base_s} s a day")


@rule(
    "ZK303",
    "warning",
    "A short or a long task has no duration",
    why=f"Without `duration` a function declares {DEFAULT_DECLARED_S} s, which reserve "
    f"{reserved_s(DEFAULT_DECLARED_S)}: too much of a visitor's day for one pass through a model, and too little for a "
    "video, which is killed with everything in it.",
    advice="Say `duration=` with the seconds that it takes, or give a function of the arguments.",
    wrong="""
import spaces
from transformers import pipeline

classify = pipeline("text-classification", device="cuda")


@spaces.GPU
def judge(text):
    return classify(text)[0]["label"]
""",
    right="""
import spaces
from transformers import pipeline

classify = pipeline("text-classification", device="cuda")


@spaces.GPU(duration=5)
def judge(text):
    return classify(text)[0]["label"]
""",
)
def no_duration(space: Space) -> Iterator[Spot]:
    for found in space.visited if space.is_zero_gpu else ():
        if found.maker != "spaces" or found.duration is not None or not found.is_plain:
            continue
        kinds = {_length(space, name) for name in _models_used(space, found)}
        if kinds == {"short"}:
            message = f"`{found.function.label}` is one pass through a model, and reserves {reserved_s(60)} s."
            yield Spot(found.module.path, found.line, message)
        elif "long" in kinds:
            message = f"`{found.function.label}` makes a video, and is killed after {granted_s(60)} s."
            yield Spot(found.module.path, found.line, message)


@rule(
    "ZK304",
    "error",
    "The duration function takes other arguments",
    why="The platform calls it with exactly the arguments of the GPU function, also those with a default, "
    "`gr.Progress` among them. Where they do not fit, every call ends in a TypeError.",
    advice="Give it the same parameters, or `*args, **kwargs`.",
    wrong="""
import spaces
import torch


def how_long(steps):
    return 2 + steps * 0.3


@spaces.GPU(duration=how_long)
def paint(prompt, steps):
    return torch.rand(int(steps)).cuda().sum().item()
""",
    right="""
import spaces
import torch


def how_long(prompt, steps):
    return 2 + steps * 0.3


@spaces.GPU(duration=how_long)
def paint(prompt, steps):
    return torch.rand(int(steps)).cuda().sum().item()
""",
)
def other_arguments(space: Space) -> Iterator[Spot]:
    for found in space.gpu.functions if space.is_zero_gpu else ():
        if found.duration is None:
            continue
        scope = space.program.scope(found.module, found.duration)
        estimate = space.program.function(found.module, found.duration, scope)
        problem = _mismatch(found.function, estimate) if estimate is not None else ""
        if problem:
            yield Spot(found.module.path, found.line, problem)


@rule(
    "ZK305",
    "error",
    "This is no duration",
    why="A duration is a number of seconds, a timedelta, or a function of the arguments. The platform cuts fractions, "
    "so what is under 1 reserves nothing.",
    advice="Say a number of seconds from 1 up.",
    wrong="""
import spaces
import torch


@spaces.GPU(duration="60")
def add(a, b):
    return (torch.tensor(a).cuda() + b).item()
""",
    right="""
from datetime import timedelta

import spaces
import torch


@spaces.GPU(duration=timedelta(minutes=1))
def add(a, b):
    return (torch.tensor(a).cuda() + b).item()
""",
)
def no_number(space: Space) -> Iterator[Spot]:
    for found in space.gpu.functions if space.is_zero_gpu else ():
        value = seconds(space.program, found.module, found.duration)
        if text_of(found.duration) is not None or (value is not None and value < 1):
            message = f"`{found.function.label}` asks for {said(found.duration)[:40] if found.duration else ''}."
            yield Spot(found.module.path, found.line, message)


def _static(space: Space) -> Iterator[tuple[GPUFunction, float, int]]:
    """GPU functions that a click may run with the same seconds each time: declared, and reserved."""
    for found in space.visited if space.is_zero_gpu else ():
        declared = seconds(space.program, found.module, found.duration)
        if declared is None and found.duration is None and found.maker == "spaces" and found.is_plain:
            declared = float(DEFAULT_DECLARED_S)
        if declared is not None and 1 <= declared < 86_400 and found.size in (None, "large", "xlarge"):
            yield found, declared, reserved_s(declared, found.size)


def _too_long(found: GPUFunction, declared: float, reserved: int, has: str) -> Spot:
    what = f"`{found.function.label}` declares {declared:g} s and reserves {reserved} s"
    return Spot(found.module.path, found.line, f"{what}; {has}.")


def _models_used(space: Space, found: GPUFunction) -> set[str]:
    """The variables of models that a GPU function names, itself or through others."""
    used = set()
    for function in space.program.reached([found.function]):
        for node in ast.walk(function.node):
            if isinstance(node, ast.Name):
                full = space.program.full_name(function.module, node, space.program.scope(function.module, node))
                if full in space.models:
                    used.add(full)
    return used


def _length(space: Space, name: str) -> str:
    load = space.models[name]
    if load.what in ("transformers.pipeline", "transformers.pipelines.pipeline"):
        task = text_of(load.call.args[0]) if load.call.args else None
        task = task or next((text_of(k.value) for k in load.call.keywords if k.arg == "task"), None)
        return "short" if task in _SHORT_TASKS else ""
    if load.what.startswith("diffusers.") and any(word in load.kind for word in _LONG):
        return "" if "Image" in load.kind and "ToVideo" not in load.kind else "long"
    return "short" if load.kind.endswith(".SentenceTransformer") else ""


def _mismatch(function: Function, estimate: Function) -> str:
    """Why the estimate cannot be called with the function's arguments; "" where it can, or may."""
    given, taken = function.node.args, estimate.node.args
    if given.vararg or given.kwarg or function.owner or estimate.owner:
        return ""
    names = [a.arg for a in (*given.posonlyargs, *given.args)]
    wanted = [a.arg for a in (*taken.posonlyargs, *taken.args)]
    most = len(wanted)
    least = most - len(taken.defaults)
    needed = len(names) - len(given.defaults)
    both = f"`{estimate.label}` takes {_listed(wanted)}, and `{function.label}` {_listed(names)}."
    if least > len(names):
        return both
    required = [a.arg for a, default in zip(taken.kwonlyargs, taken.kw_defaults, strict=True) if default is None]
    if any(name not in names and name not in [a.arg for a in given.kwonlyargs] for name in required):
        return both
    if taken.vararg is None and (most < needed or most < _surely_given(function)):
        return both
    return ""


def _surely_given(function: Function) -> int:
    """How many arguments Gradio gives: up to the last that it fills itself."""
    arguments = function.node.args
    every = [*arguments.posonlyargs, *arguments.args]
    last = 0
    for place, default in enumerate(arguments.defaults, len(every) - len(arguments.defaults)):
        if isinstance(default, ast.Call) and said(default.func) in ("gr.Progress", "gradio.Progress"):
            last = place + 1
    return last


def _listed(names: list[str]) -> str:
    return f"({', '.join(names)})" if names else "none"
