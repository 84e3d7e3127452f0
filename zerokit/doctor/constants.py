"""Numbers that can be told without running anything: constants, arithmetic, `timedelta`, a module's own constants."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable

from .program import Program
from .source import Module

_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}
_SECONDS = {"days": 86_400.0, "hours": 3_600.0, "minutes": 60.0, "seconds": 1.0, "milliseconds": 0.001}


def seconds(program: Program, module: Module, node: ast.expr | None, depth: int = 0) -> float | None:
    """The number that an expression always is; None where it cannot be told."""
    if node is None or depth > 10:
        return None
    if isinstance(node, ast.Constant):
        value = node.value
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = seconds(program, module, node.operand, depth + 1)
        return None if inner is None else -inner
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left = seconds(program, module, node.left, depth + 1)
        right = seconds(program, module, node.right, depth + 1)
        try:
            return None if left is None or right is None else _OPERATORS[type(node.op)](left, right)
        except (ZeroDivisionError, OverflowError):
            return None
    if isinstance(node, ast.Call):
        return _timedelta(program, module, node, depth)
    return _named(program, module, node, depth)


def _named(program: Program, module: Module, node: ast.expr, depth: int) -> float | None:
    full = program.full_name(module, node) or ""
    value = program.values.get(full)
    home = program.by_name.get(full.rpartition(".")[0])
    if value is None or home is None or full in program.changed:
        return None
    return seconds(program, home, value, depth + 1)


def _timedelta(program: Program, module: Module, call: ast.Call, depth: int) -> float | None:
    if program.full_name(module, call.func) != "datetime.timedelta":
        return None
    total = 0.0
    units = [("days", call.args[0])] if len(call.args) == 1 else []
    for unit, node in [*units, *((k.arg, k.value) for k in call.keywords)]:
        value = seconds(program, module, node, depth + 1)
        if value is None or unit not in _SECONDS:
            return None
        total += value * _SECONDS[unit]
    return None if len(call.args) > 1 else total
