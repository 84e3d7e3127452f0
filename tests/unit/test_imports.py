"""Who may import whom, and what `import zerokit` loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import zerokit

ROOT = Path(zerokit.__file__).parent
HEAVY = {"torch", "transformers", "diffusers", "peft", "accelerate", "gradio", "spaces"}
MODULES = sorted(path for path in ROOT.rglob("*.py") if "shim" not in path.parts)
BASE = {"adapters", "control", "errors", "requests", "settings"}
BELOW = {
    "calls": {"calls", "quota.platform", *BASE},
    "quota": {"quota", *BASE},
    "engines": {"engines", "embedded", *BASE},
    "embedded": {"embedded", *BASE},
    "pictures": {"pictures", *BASE},
    "templates": {"templates", "engines", *BASE},
    "doctor": {"doctor", "quota.platform", *BASE},
    "deploy": {"deploy", "quota", "__version__", *BASE},
}
"""What each room may import of zerokit; the rooms that are not named here stand above them all."""


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path, *, top: bool) -> Iterator[str]:
    """Full names of what a module imports: at its top (not for type checkers), or anywhere."""
    package = name_of(path) if path.name == "__init__.py" else name_of(path).rpartition(".")[0]
    for node in _nodes(ast.parse(path.read_text("utf-8")), top=top):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            home = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{home}.{alias.name}" for alias in node.names)


def _nodes(tree: ast.AST, *, top: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if top and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        yield node
        yield from _nodes(node, top=top)


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


@pytest.mark.parametrize("room", BELOW)
def test_imports_point_down(room):
    for path in MODULES:
        if room_of(path) != room:
            continue
        for name in imported(path, top=False):
            if name.startswith("zerokit."):
                inside = name.removeprefix("zerokit.")
                assert any(f"{inside}.".startswith(f"{allowed}.") for allowed in BELOW[room]), f"{path}: {name}"


@pytest.mark.parametrize("name", sorted(BASE))
def test_the_base_knows_nothing_of_the_house(name):
    for other in imported(ROOT / f"{name}.py", top=False):
        assert not other.startswith("zerokit.") or other.split(".")[1] in BASE
        assert other.split(".")[0] not in HEAVY


def test_only_the_door_and_the_emulator_import_spaces():
    users = {name_of(path) for path in MODULES if any(n.split(".")[0] == "spaces" for n in imported(path, top=False))}
    assert {user for user in users if not user.startswith("zerokit.emulator")} == {"zerokit.calls.door"}


def test_engines_know_neither_gradio_nor_spaces():
    for path in MODULES:
        if room_of(path) == "engines":
            assert not {n.split(".")[0] for n in imported(path, top=False)} & {"gradio", "spaces"}, path


def test_the_heavy_ones_stay_out_of_the_tops_of_modules():
    for path in MODULES:
        if room_of(path) in ("engines", "embedded", "emulator"):
            continue
        tops = {name.split(".")[0] for name in imported(path, top=True)}
        assert not tops & (HEAVY - {"gradio", "spaces"}), path
        if room_of(path) not in ("blocks", "quota"):
            assert "gradio" not in tops, path


def test_importing_zerokit_loads_none_of_them():
    program = f"import sys, zerokit; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert done.stdout.strip() == "[]"


def test_calls_and_requests_load_none_of_them_either():
    program = (
        "import sys, zerokit; zerokit.gpu, zerokit.Linear, zerokit.ChatRequest, zerokit.progress; "
        f"zerokit.gpu(duration=1)(lambda: 1)(); print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    environment = {"ZEROKIT_HOME": "off", "PATH": "/usr/bin"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT.parent, env=environment
    )
    assert done.stdout.strip() == "[]"


def test_pictures_know_neither_gradio_nor_torch():
    for path in MODULES:
        if room_of(path) == "pictures":
            assert not {n.split(".")[0] for n in imported(path, top=False)} & HEAVY, path


def test_the_doctor_knows_neither_gradio_nor_torch():
    for path in MODULES:
        if room_of(path) == "doctor":
            assert not {n.split(".")[0] for n in imported(path, top=False)} & HEAVY, path
