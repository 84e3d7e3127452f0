"""The ways through a function: which calls can happen one after the other."""

from __future__ import annotations

import ast
from collections.abc import Sequence


def longest(body: Sequence[ast.stmt], calls: set[ast.Call]) -> list[ast.Call]:
    """The most GPU calls that one way through these statements makes."""
    made: list[ast.Call] = []
    best: list[ast.Call] = []
    for statement in body:
        if isinstance(statement, ast.If):
            made = made + _in(statement.test, calls)
            ways = [longest(statement.body, calls), longest(statement.orelse, calls)]
            for way, branch in zip(ways, (statement.body, statement.orelse), strict=True):
                if _ends(branch):
                    best = max(best, made + way, key=len)
            open_ways = [w for w, b in zip(ways, (statement.body, statement.orelse), strict=True) if not _ends(b)]
            if not open_ways:
                return best
            made = made + max(open_ways, key=len)
        elif isinstance(statement, ast.Try):
            ways = [longest(statement.body + statement.orelse, calls)]
            ways += [longest(handler.body, calls) for handler in statement.handlers]
            made = made + max(ways, key=len) + longest(statement.finalbody, calls)
        elif isinstance(statement, ast.With | ast.For | ast.While):
            made = made + longest(statement.body, calls)
        elif isinstance(statement, ast.Match):
            made = made + max((longest(case.body, calls) for case in statement.cases), key=len)
        elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            made = made + _in(statement, calls)
            if isinstance(statement, ast.Return | ast.Raise):
                break
    return max(best, made, key=len)


def _in(node: ast.AST, calls: set[ast.Call]) -> list[ast.Call]:
    """The GPU calls in an expression; of `a() if b else c()` only the first way."""
    if isinstance(node, ast.IfExp):
        return _in(node.test, calls) + max(_in(node.body, calls), _in(node.orelse, calls), key=len)
    if isinstance(node, ast.Lambda):
        return []
    found = [node] if isinstance(node, ast.Call) and node in calls else []
    return found + [call for child in ast.iter_child_nodes(node) for call in _in(child, calls)]


def _ends(body: Sequence[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[-1], ast.Return | ast.Raise)
