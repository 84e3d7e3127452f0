"""Rules about how a Space starts: what is decorated, and what is imported when."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..findings import Spot
from ..reading import CannotRead, read_text, text_files
from ..rule import rule
from ..source import Module, at_import, line_of, said, text_of
from ..space import Space
from ..startup import Start, run_through


@rule(
    "ZK201",
    "error",
    "No function runs on the GPU",
    why="ZeroGPU hands out a GPU for the length of a decorated function, and stops a Space that has none.",
    advice="Put `@spaces.GPU` or `@zerokit.gpu` over the function that uses the model. If the Space is for another "
    "hardware, name that as `suggested_hardware` in the card.",
    wrong="""
import gradio as gr
import torch
from diffusers import DiffusionPipeline

pipe = DiffusionPipeline.from_pretrained("stabilityai/sdxl-turbo", torch_dtype=torch.float16).to("cuda")


def paint(prompt):
    return pipe(prompt).images[0]


gr.Interface(paint, "text", "image", concurrency_limit=None).launch()
""",
    right="""
import gradio as gr
import spaces
import torch
from diffusers import DiffusionPipeline

pipe = DiffusionPipeline.from_pretrained("stabilityai/sdxl-turbo", torch_dtype=torch.float16).to("cuda")


@spaces.GPU(duration=10)
def paint(prompt):
    return pipe(prompt).images[0]


gr.Interface(paint, "text", "image", concurrency_limit=None).launch()
""",
)
def nothing_decorated(space: Space) -> Iterator[Spot]:
    if not space.is_zero_gpu or space.gpu.is_mentioned or not space.program.modules or space.unreadable:
        return
    if space.is_newer or _is_decorated_elsewhere(space):
        return
    if space.hardware or "spaces" in space.imported or (space.uses_gpu_library and _loads_models(space)):
        yield Spot(space.app_file, 1, "No function is decorated, here or in what it imports.")


@rule(
    "ZK202",
    "warning",
    "torch comes before `spaces`",
    why="`spaces` replaces parts of torch when it is imported, and refuses to start once CUDA has been initialised. A "
    "library that touches CUDA while it is imported is then one import too early.",
    advice="Import `spaces` first, before torch and everything that brings torch along.",
    wrong="""
import torch
import gradio as gr
import spaces


@spaces.GPU(duration=5)
def add(a, b):
    return (torch.tensor(a).cuda() + b).item()
""",
    right="""
import spaces  # before torch
import torch
import gradio as gr


@spaces.GPU(duration=5)
def add(a, b):
    return (torch.tensor(a).cuda() + b).item()
""",
    fixable=True,
)
def torch_before_spaces(space: Space) -> Iterator[Spot]:
    start = run_through(space.program)
    if not space.is_zero_gpu or start.spaces is None or start.torch is None or start.cuda is not None:
        return
    if not start.is_spaces_itself:  # that ZeroKit is imported after torch does no harm as long as CUDA is not touched
        return
    module, node, name = start.torch
    yield Spot(module.path, line_of(node), f"{name} is imported before `spaces`.", fixable=_can_move(start))


@rule(
    "ZK203",
    "error",
    "CUDA is used before `spaces` is there",
    why="Before `spaces` is imported a ZeroGPU Space has no GPU: `torch.cuda.is_available()` is False and "
    '`.to("cuda")` fails. `import zerokit` alone does not bring it: the first `zerokit.gpu` or block does.',
    advice="Import `spaces` first, or `from zerokit import gpu`, before the line that is named.",
    wrong="""
import torch

device = "cuda" if torch.cuda.is_available() else "cpu"

import spaces


@spaces.GPU(duration=5)
def add(a, b):
    return (torch.tensor(a).to(device) + b).item()
""",
    right="""
import spaces
import torch

device = "cuda" if torch.cuda.is_available() else "cpu"


@spaces.GPU(duration=5)
def add(a, b):
    return (torch.tensor(a).to(device) + b).item()
""",
    fixable=True,
)
def cuda_before_spaces(space: Space) -> Iterator[Spot]:
    start = run_through(space.program)
    if space.is_zero_gpu and start.spaces is not None and start.cuda is not None:
        module, node, what = start.cuda
        yield Spot(module.path, line_of(node), f"{what} runs before `spaces` is imported.", fixable=_can_move(start))


@rule(
    "ZK204",
    "warning",
    "`import spaces` may fail unseen",
    why="Where the import fails on ZeroGPU for any reason, nothing is decorated and the Space is stopped with another "
    "message. Everywhere else `spaces` can be installed with pip, and `spaces.GPU` changes nothing.",
    advice="Write `import spaces` without try, and put `spaces` into the requirements of a local set-up.",
    wrong="""
try:
    import spaces
except ImportError:
    spaces = None
import torch


def gpu(function):
    return spaces.GPU(function) if spaces else function


@gpu
def add(a, b):
    return (torch.tensor(a).cuda() + b).item()
""",
    right="""
import spaces
import torch


@spaces.GPU(duration=5)
def add(a, b):
    return (torch.tensor(a).cuda() + b).item()
""",
)
def try_import(space: Space) -> Iterator[Spot]:
    for module in space.program.modules if space.is_zero_gpu else ():
        for node in at_import(module):
            if _imports_spaces(node) and _is_caught(module, node):
                yield Spot(module.path, line_of(node), "An error of this import is caught.")


@rule(
    "ZK205",
    "error",
    "CUDA is initialised while the Space starts",
    why="While the Space starts there is no GPU. `spaces` lets weights be placed there, and little else: what needs "
    "CUDA itself raises an error.",
    advice="Move it into the GPU function, or leave it out.",
    wrong="""
import spaces
import torch

torch.cuda.set_device(0)
stream = torch.cuda.Stream()


@spaces.GPU(duration=5)
def add(a, b):
    return (torch.tensor(a).cuda() + b).item()
""",
    right="""
import spaces
import torch

torch.backends.cuda.matmul.allow_tf32 = True


@spaces.GPU(duration=5)
def add(a, b):
    torch.cuda.synchronize()
    return (torch.tensor(a).cuda() + b).item()
""",
)
def cuda_at_start(space: Space) -> Iterator[Spot]:
    for module in space.program.modules if space.is_zero_gpu else ():
        for node in at_import(module):
            if isinstance(node, ast.Call) and not module.is_apart_from_zerogpu(node):
                full = space.program.full_name(module, node.func) or ""
                if full in _NEEDS_CUDA:
                    yield Spot(module.path, line_of(node), f"`{full}` needs a GPU.")


_NEEDS_CUDA = {f"torch.cuda.{name}" for name in ("init", "set_device", "Stream", "current_stream", "default_stream")}
"""What still initialises CUDA under `spaces` 0.51.3 (`zero/torch/patching.py`, `_cuda_init_raise`)."""


def _is_decorated_elsewhere(space: Space) -> bool:
    """Whether a file that is not seen to be imported may have the decorator: it may be found in another way."""
    known = {module.path for module in space.program.modules}
    for name in text_files(space.folder, (".py",)):
        if name not in known:
            try:
                text = read_text(space.folder, name)
            except CannotRead:
                return True
            if re.search(r"\bspaces\b.*\bGPU\b|\bzerokit\b", text, re.DOTALL):
                return True
    return False


def _loads_models(space: Space) -> bool:
    return any(
        (isinstance(node, ast.Attribute) and node.attr in ("from_pretrained", "cuda", "from_single_file"))
        or text_of(node) == "cuda"
        for module in space.program.modules
        for node in ast.walk(module.tree)
    )


def _imports_spaces(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name == "spaces" for alias in node.names)
    return isinstance(node, ast.ImportFrom) and node.module == "spaces" and not node.level


def _is_caught(module: Module, node: ast.AST) -> bool:
    inner = node
    for outer in module.around(node):
        if isinstance(outer, ast.Try) and inner in outer.body and outer.handlers:
            return not all(_raises_again(handler) for handler in outer.handlers)
        inner = outer
    return False


def _raises_again(handler: ast.ExceptHandler) -> bool:
    return any(isinstance(node, ast.Raise) for node in handler.body)


def _can_move(start: Start) -> bool:
    """Whether `import spaces` is a line of its own at the top level of the app, below what came too early."""
    if start.spaces is None:
        return False
    module, node, _ = start.spaces
    return module.is_app and node in module.tree.body and said(node) == "import spaces"
