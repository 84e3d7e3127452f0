"""Which files a function writes."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .program import Function, Program
from .source import keyword, text_of

_FIRST = {
    *("cv2.imwrite", "imageio.imwrite", "imageio.mimsave", "imageio.mimwrite", "imageio.v2.imwrite"),
    *("imageio.v3.imwrite", "numpy.save", "numpy.savez", "numpy.savetxt", "scipy.io.wavfile.write"),
    *("soundfile.write", "torch.save", "torchaudio.save", "torchvision.io.write_video", "torchvision.utils.save_image"),
}
"""Functions whose path is the first argument, as far as that is a text."""
_SECOND = {
    *("diffusers.utils.export_to_gif", "diffusers.utils.export_to_obj", "diffusers.utils.export_to_ply"),
    *("diffusers.utils.export_to_video", "torch.save", "torchvision.utils.save_image"),
}
_METHODS = {"save", "to_csv", "to_excel", "to_json", "to_parquet", "write_bytes", "write_text", "write_videofile"}
_SHARED = ("/dev/", "/proc/")


def written_paths(program: Program, function: Function) -> Iterator[tuple[ast.Call, ast.expr]]:
    """Each call that writes a file, with the expression for its path."""
    for call, full in program.calls(function.module, function.node):
        if full in _SECOND and len(call.args) > 1:
            yield call, call.args[1]
        elif full in _FIRST and call.args:
            yield call, call.args[0]
        elif isinstance(call.func, ast.Name) and call.func.id == "open" and "open" not in function.module.names:
            if call.args and _is_writing(call):
                yield call, call.args[0]
        elif isinstance(call.func, ast.Attribute) and call.func.attr in _METHODS:
            if call.func.attr in ("write_text", "write_bytes"):
                yield call, call.func.value
            elif call.args:
                yield call, call.args[0]


def fixed_path(program: Program, function: Function, node: ast.expr) -> str:
    """The path where it is the same each time; "" where it is not, or cannot be told."""
    if isinstance(node, ast.Name):
        node = _assigned(program, function, node)
    if isinstance(node, ast.Call) and program.full_name(function.module, node.func, function) == "pathlib.Path":
        node = node.args[0] if len(node.args) == 1 else node
    path = text_of(node) or ""
    return "" if path.startswith(_SHARED) or "." not in path.rpartition("/")[2] else path


def _assigned(program: Program, function: Function, node: ast.Name) -> ast.expr:
    """What a variable holds where it is assigned only once, in the function or the module."""
    stores = [n for n in ast.walk(function.node) if isinstance(n, ast.Name) and n.id == node.id]
    stores = [n for n in stores if isinstance(n.ctx, ast.Store)]
    if len(stores) == 1:
        around = function.module.parents.get(stores[0])
        return around.value if isinstance(around, ast.Assign) else node
    full = program.full_name(function.module, node, function) or ""
    return node if stores or full in program.changed else program.values.get(full, node)


def _is_writing(call: ast.Call) -> bool:
    mode = text_of(call.args[1] if len(call.args) > 1 else keyword(call, "mode")) or "r"
    return mode.startswith(("w", "x"))
