"""One Python file of a Space: its text, its tree and what its names mean."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(frozen=True, eq=False)
class Module:
    """A parsed Python file."""

    path: str
    """Relative to the Space's folder, with slashes."""
    text: str = field(repr=False)
    tree: ast.Module = field(repr=False)
    home: str = ""
    """The folder that absolute imports start from: the app's own."""
    is_app: bool = False
    names: dict[str, str] = field(default_factory=dict, repr=False)
    """What imports and plain assignments call things: their full, dotted names by the name used here."""

    @property
    def name(self) -> str:
        """As the module is imported: "app", "models.loader"."""
        parts = PurePosixPath(self.path.removeprefix(f"{self.home}/")).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)

    @property
    def package(self) -> str:
        """The package that relative imports start from; "" at the top."""
        return self.name if self.path.endswith("__init__.py") else self.name.rpartition(".")[0]

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """The node around each node."""
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around a node, from the inside out."""
        while node in self.parents:
            node = self.parents[node]
            yield node

    @cached_property
    def _functions(self) -> dict[ast.AST, Definition | None]:
        """The innermost function around each node."""
        found: dict[ast.AST, Definition | None] = {self.tree: None}
        for node in ast.walk(self.tree):
            inside = node if isinstance(node, _DEFINITIONS) else found[node]
            found.update((child, inside) for child in ast.iter_child_nodes(node))
        return found

    def function_around(self, node: ast.AST) -> Definition | None:
        """The innermost function that a node stands in."""
        return self._functions.get(node)

    def is_apart_from_zerogpu(self, node: ast.AST) -> bool:
        """Whether a node stands under a condition about ZeroGPU or the Space, so that only the author knows."""
        inner = node
        for outer in self.around(node):
            if isinstance(outer, ast.If | ast.IfExp) and inner is not outer.test:
                condition = said(outer.test).lower()
                if any(word in condition for word in ("zero", "space", "local", "compile", "dev_mode")):
                    return True
            inner = outer
        return False


def imports(tree: ast.AST, package: str) -> Iterator[tuple[ast.Import | ast.ImportFrom, str, str]]:
    """Each import as its node, the name it binds ("*": all) and the full name of what is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname:
                    yield node, alias.asname, alias.name
                else:
                    top = alias.name.partition(".")[0]
                    yield node, top, top
        elif isinstance(node, ast.ImportFrom):
            home = home_of(node, package)
            for alias in node.names:
                yield node, alias.asname or alias.name, f"{home}.{alias.name}" if home else alias.name


def home_of(node: ast.ImportFrom, package: str) -> str:
    """The full name of the module that `from ... import` names."""
    parts = package.split(".") if package else []
    above = parts[: len(parts) - node.level + 1] if node.level else []
    return ".".join([*above, *([node.module] if node.module else [])])


def at_import(module: Module) -> Iterator[ast.AST]:
    """What runs when the module is imported, in the order of the source: everything outside of functions.

    A function's decorators and defaults belong to it; so does the main part of the app itself.
    """
    yield from _outside(module.tree, is_app=module.is_app)


def _outside(node: ast.AST, is_app: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Lambda):
            continue
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
            defaults = [default for default in child.args.kw_defaults if default is not None]
            for part in (*child.decorator_list, *child.args.defaults, *defaults):
                yield part
                yield from _outside(part, is_app)
        elif isinstance(child, ast.If) and _is_never_run(child, is_app):
            for statement in child.orelse:
                yield statement
                yield from _outside(statement, is_app)
        else:
            yield child
            yield from _outside(child, is_app)


def _is_never_run(node: ast.If, is_app: bool) -> bool:
    condition = said(node.test)
    return "TYPE_CHECKING" in condition or (not is_app and "__name__" in condition)


def chain(node: ast.AST) -> str | None:
    """`a.b.c` as written, or None where it is something else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(parts)])


def keyword(call: ast.Call, *names: str) -> ast.expr | None:
    """The value of the first keyword of these names."""
    return next((k.value for name in names for k in call.keywords if k.arg == name), None)


def has_double_star(call: ast.Call) -> bool:
    """Whether a call gets keywords that are not written here."""
    return any(k.arg is None for k in call.keywords)


def is_true(node: ast.AST | None) -> bool:
    """Whether a node is the constant True."""
    return isinstance(node, ast.Constant) and node.value is True


def text_of(node: ast.AST | None) -> str | None:
    """The value of a string constant."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def line_of(node: ast.AST) -> int:
    """The line that a node begins in."""
    return getattr(node, "lineno", 1)


def said(node: ast.AST) -> str:
    """A node as source, or "" where it is nested too deeply to be written down."""
    try:
        return ast.unparse(node)
    except RecursionError:
        return ""
