"""A Space as the doctor reads it. Nothing of it is run or imported."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections import deque
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..errors import UsageError
from .card import ZERO_GPU, Card, parse_card
from .events import Event, find_events
from .findings import Spot
from .gpu import GPU, GPUFunction
from .models import Load, find_loads, model_variables
from .program import Function, Program
from .reading import BUNDLED, CannotRead, is_file, parse, read_text
from .requirements import Requirements, parse_requirements
from .source import Module, at_import, home_of

MOST_MODULES = 300
_NEWER = re.compile(r"""^\s*type \w+.*=|^\s*(?:async )?(?:def|class) \w+\[|\b[fF][rR]?["']""")
"""What Python 3.12 allows and 3.11 does not: `type X = ...`, `def f[T]`, quotes of one kind inside of an f-string."""
_GPU_LIBRARIES = ("torch", "diffusers", "transformers", "sentence_transformers", "peft", "accelerate")


@dataclass(frozen=True)
class Space:
    """A Space's card, requirements and program."""

    folder: Path
    card: Card
    requirements: Requirements
    app_file: str
    program: Program
    unreadable: tuple[Spot, ...] = ()
    is_newer: bool = False
    """Whether a module is left out because it may be written for a newer Python than this one."""

    @cached_property
    def gpu(self) -> GPU:
        """What runs on the GPU."""
        return GPU(self.program)

    @cached_property
    def events(self) -> list[Event]:
        """What a visitor's clicks run."""
        return find_events(self.program, self.gpu)

    @cached_property
    def in_start(self) -> list[Function]:
        """Functions that the main process runs while the app starts, as far as can be told."""
        on_gpu = {found.function for found in self.gpu.functions}
        return self.program.reached(f for f in self.program.named_at_import() if f not in on_gpu)

    @cached_property
    def visited(self) -> list[GPUFunction]:
        """GPU functions that a visitor's click may run, and not only the start, as those that compile ahead of time."""
        called = {
            self.gpu.called(module, node.func)
            for module in self.program.modules
            for node in at_import(module)
            if isinstance(node, ast.Call)
        }
        handlers = self.program.reached(event.handler for event in self.events if event.handler is not None)
        used = {function.name for function in handlers}
        return [found for found in self.gpu.functions if found not in called or found.function.name in used]

    @cached_property
    def in_worker(self) -> list[Function]:
        """GPU functions and all that they call."""
        return self.program.reached(found.function for found in self.visited)

    @cached_property
    def in_handlers(self) -> list[Function]:
        """What visitors' clicks run, outside of the GPU and on it."""
        handlers = [event.handler for event in self.events if event.handler is not None]
        return self.program.reached([*handlers, *(found.function for found in self.gpu.functions)])

    @cached_property
    def in_use(self) -> list[Function]:
        """Every function that is reached: from the app itself, from clicks and from the GPU."""
        start = [function for function in self.program.functions.values() if function.module.is_app]
        return self.program.reached([*start, *self.in_start, *self.in_handlers])

    @cached_property
    def loads(self) -> list[Load]:
        """Every call that loads a model."""
        return find_loads(self.program)

    @cached_property
    def models(self) -> dict[str, Load]:
        """The variables that hold models, by full name."""
        return model_variables(self.program, self.loads)

    @cached_property
    def hardware(self) -> str:
        """The card's `suggested_hardware`; "" where it says none."""
        return self.card.get("suggested_hardware").lower()

    @cached_property
    def imported(self) -> frozenset[str]:
        """The first names of all that is imported."""
        return frozenset(full.partition(".")[0] for m in self.program.modules for full in m.names.values())

    @property
    def uses_gpu_library(self) -> bool:
        """Whether it works with something that wants a GPU."""
        return bool(self.imported & set(_GPU_LIBRARIES))

    @property
    def is_zero_gpu(self) -> bool:
        """Whether it is meant for ZeroGPU: the card says so, or nothing else and the code does."""
        if self.hardware:
            return self.hardware == ZERO_GPU
        return "spaces" in self.imported or "zerokit" in self.imported or self.uses_gpu_library

    @property
    def has_own_gpu(self) -> bool:
        """Whether it is meant for a GPU that is paid by the hour."""
        return bool(self.hardware) and not self.hardware.startswith(("cpu", "zero", "v5e", "inf"))


def read_space(folder: str | Path) -> Space:
    """Read a Space from its folder.

    Raises:
        UsageError: the folder holds no Space.
    """
    root = Path(folder)
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise UsageError(f"{root} {what}. Name the folder of a Space, which holds README.md and app.py.")
    unreadable: list[Spot] = []
    card = parse_card(_read(root, "README.md", unreadable) or "")
    if not is_file(root, "README.md"):
        card = Card(problem="There is no README.md, where the Hub reads what kind of Space it is.")
    app_file = card.get("app_file") or "app.py"
    if not card.fields and not is_file(root, app_file):
        raise UsageError(f"{root} is not a Space: it has neither a README.md with a card nor an app.py.")
    requirements = parse_requirements(_read(root, "requirements.txt", unreadable) or "")
    modules = _read_modules(root, app_file, unreadable) if card.get("sdk") in ("", "gradio") else []
    certain = [spot for spot in unreadable if not _may_be_newer(root, spot)]
    is_newer = len(certain) < len(unreadable)
    return Space(root, card, requirements, app_file, Program(modules), tuple(certain), is_newer)


def _read(root: Path, name: str, unreadable: list[Spot]) -> str | None:
    """A file's text, or None with the reason noted where it is there and cannot be read."""
    if not os.path.lexists(root / name):
        return None
    try:
        return read_text(root, name)
    except CannotRead as exc:
        unreadable.append(Spot(name, exc.line, exc.reason))
        return None


def _may_be_newer(root: Path, spot: Spot) -> bool:
    """Whether a line that this Python cannot read may be right in a newer one."""
    if sys.version_info >= (3, 12) or not spot.path.endswith(".py") or "cannot read it" not in spot.message:
        return False
    lines = read_text(root, spot.path).splitlines()
    line = lines[spot.line - 1] if spot.line and spot.line <= len(lines) else ""
    return bool(_NEWER.search(line))


def _read_modules(root: Path, app_file: str, unreadable: list[Spot]) -> list[Module]:
    """The app and the Space's own modules that it imports, in turn."""
    if not is_file(root, app_file):
        return []
    home = os.path.dirname(app_file)
    modules: list[Module] = []
    waiting, seen = deque([app_file]), {app_file}
    while waiting and len(modules) < MOST_MODULES:
        name = waiting.popleft()
        try:
            module = parse(root, name, home, is_app=name == app_file)
        except CannotRead as exc:
            unreadable.append(Spot(name, exc.line, exc.reason))
            continue
        modules.append(module)
        fresh = [found for found in _imported_files(root, module) if found not in seen]
        seen.update(fresh)
        waiting.extend(dict.fromkeys(fresh))
    return modules


def _imported_files(root: Path, module: Module) -> list[str]:
    """The files of the Space that a module imports."""
    wanted: list[str] = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            wanted += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inside = home_of(node, module.package)
            wanted += [inside, *(f"{inside}.{alias.name}" for alias in node.names if alias.name != "*")]
    return [found for dotted in wanted for found in _files_of(root, module.home, dotted)]


def _files_of(root: Path, home: str, dotted: str) -> list[str]:
    """The files that importing `a.b` runs: a/__init__.py and a/b.py, as far as they are there."""
    parts = dotted.split(".")
    if parts[0] == BUNDLED:
        return []
    prefix = f"{home}/" if home else ""
    files = []
    for end in range(1, len(parts) + 1):
        path = prefix + "/".join(parts[:end])
        files += [name for name in (f"{path}/__init__.py", f"{path}.py") if is_file(root, name)][:1]
    return files
