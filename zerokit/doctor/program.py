"""What a Space's Python files mean together: functions, who calls whom, and which of them run on the GPU."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from .source import Definition, Module, at_import, chain, home_of, imports

_STARRED = {"spaces": "GPU", "zerokit": "gpu"}
"""What `from ... import *` of these brings that matters here."""
_MOST_STEPS = 20
"""Names that are followed from one to the next, in case they go round in a circle."""


@dataclass(frozen=True, eq=False)
class Function:
    """A function, a method or a lambda."""

    module: Module
    node: Definition
    name: str
    """Full: "app.generate", "app.Engine.generate"."""
    owner: str = ""
    """The full name of its class; "" where there is none."""

    @property
    def label(self) -> str:
        """As a reader knows it."""
        return "a lambda" if isinstance(self.node, ast.Lambda) else self.node.name

    @cached_property
    def bound(self) -> frozenset[str]:
        """Names that mean something of its own in it: parameters and what it assigns."""
        arguments = self.node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        stored = {n.id for n in ast.walk(self.node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        outer = {name for n in ast.walk(self.node) if isinstance(n, ast.Global) for name in n.names}
        return frozenset({a.arg for a in every if a is not None} | (stored - outer))


class Program:
    """All Python files that a Space's app reaches, and what their names lead to."""

    def __init__(self, modules: Iterable[Module]) -> None:
        self.modules = tuple(modules)
        self.by_name = {module.name: module for module in self.modules}
        self.functions: dict[str, Function] = {}
        self.classes: dict[str, tuple[Module, ast.ClassDef]] = {}
        self.values: dict[str, ast.expr] = {}
        """What is assigned to each variable of a module; of several, the first that is no constant."""
        self.changed: set[str] = set()
        """Variables of modules that are assigned more than once."""
        self._calls: dict[ast.AST, list[tuple[ast.Call, str]]] = {}
        self._names: dict[Function, list[Function]] = {}
        for module in self.modules:
            self._define(module, module.tree, module.name, "")
            self._name(module)
        self.by_node: dict[ast.AST, Function] = {function.node: function for function in self.functions.values()}

    def _define(self, module: Module, around: ast.AST, prefix: str, owner: str) -> None:
        for node in ast.iter_child_nodes(around):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name = self._free(f"{prefix}.{node.name}", node)
                self.functions[name] = Function(module, node, name, owner)
                self._define(module, node, name, "")
            elif isinstance(node, ast.ClassDef):
                name = f"{prefix}.{node.name}"
                self.classes[name] = (module, node)
                self._define(module, node, name, name)
            elif isinstance(node, ast.Lambda):
                name = f"{prefix}.<lambda {node.lineno}:{node.col_offset}>"
                self.functions[name] = Function(module, node, name, owner)
                self._define(module, node, name, "")
            else:
                self._define(module, node, prefix, owner)

    def _free(self, name: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
        """The name of a function that is defined again: one with a decorator keeps it, else the last has it."""
        before = self.functions.get(name)
        if before is None:
            return name
        if getattr(before.node, "decorator_list", []) and not node.decorator_list:
            return f"{name}@{node.lineno}"
        aside = f"{name}@{before.node.lineno}"
        self.functions[aside] = replace(before, name=aside)
        return name

    def _name(self, module: Module) -> None:
        for imported, bound, full in imports(module.tree, module.package):
            if bound == "*" and isinstance(imported, ast.ImportFrom):
                self._name_all(module, home_of(imported, module.package))
            elif bound not in module.names or module.function_around(imported) is None:
                module.names[bound] = full
        for node in at_import(module):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    self._assign(module, target, node.value)
            elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
                self._assign(module, node.target, node.value)

    def _name_all(self, module: Module, home: str) -> None:
        if home in _STARRED:
            module.names.setdefault(_STARRED[home], f"{home}.{_STARRED[home]}")
        other = self.by_name.get(home)
        for statement in other.tree.body if other is not None else ():
            for name in _defined_by(statement):
                module.names.setdefault(name, f"{home}.{name}")

    def _assign(self, module: Module, target: ast.expr, value: ast.expr) -> None:
        if not isinstance(target, ast.Name):
            return
        name = f"{module.name}.{target.id}"
        if name not in self.values or isinstance(self.values[name], ast.Constant):
            if name in self.values:
                self.changed.add(name)
            self.values[name] = value
        else:
            self.changed.add(name)

    def full_name(self, module: Module, node: ast.AST, scope: Function | None = None) -> str | None:
        """What a name or `a.b.c` stands for: "torch.compile", "app.generate"; None where it cannot be told."""
        meant = self._meant(module, node, scope)
        return None if meant is None else self._follow(meant)

    def _meant(self, module: Module, node: ast.AST, scope: Function | None = None) -> str | None:
        """The full name that stands here, before aliases are followed."""
        written = chain(node)
        if written is None:
            return None
        first, _, rest = written.partition(".")
        if scope is not None and first == "self" and rest and scope.owner:
            return f"{scope.owner}.{rest}"
        inner = scope
        while inner is not None:
            if f"{inner.name}.{first}" in self.functions:
                return f"{inner.name}.{written}"
            if first in inner.bound and first not in module.names:
                return None
            around = module.function_around(inner.node)
            inner = self.by_node.get(around) if around is not None else None
        if first in module.names:
            return module.names[first] + (f".{rest}" if rest else "")
        return f"{module.name}.{written}"

    def _follow(self, full: str) -> str:
        for _ in range(_MOST_STEPS):
            nearer = self._step(full)
            if nearer == full:
                break
            full = nearer
        return full

    def _step(self, full: str) -> str:
        """One step nearer to what a full name means: through an import, an alias or an object's class."""
        if full in self.functions or full in self.classes:
            return full
        parts = full.split(".")
        for cut in range(len(parts) - 1, 0, -1):
            head, name, rest = ".".join(parts[:cut]), parts[cut], parts[cut + 1 :]
            module = self.by_name.get(head)
            if module is None:
                continue
            tail = "".join(f".{part}" for part in rest)
            value = self.values.get(f"{head}.{name}")
            if value is not None:
                if isinstance(value, ast.Name | ast.Attribute) and f"{head}.{name}" not in self.changed:
                    meant = self._meant(module, value)
                    return full if meant is None else meant + tail
                if isinstance(value, ast.Call) and rest:
                    kind = self._kind(module, value)
                    return kind + tail if kind else full
                return full
            if name in module.names and module.names[name] != f"{head}.{name}":
                return module.names[name] + tail
            return full
        return full

    def _kind(self, module: Module, call: ast.Call) -> str:
        """The class of the Space that a call makes an object of; "" where it is none."""
        kind = self._meant(module, call.func) or ""
        for _ in range(_MOST_STEPS):
            home, _, last = kind.rpartition(".")
            other = self.by_name.get(home)
            if kind in self.classes or other is None or other.names.get(last, kind) == kind:
                break
            kind = other.names[last]
        return kind if kind in self.classes else ""

    def function(self, module: Module, node: ast.AST, scope: Function | None = None) -> Function | None:
        """The function of the Space that an expression stands for: a name, a lambda, or a partial of one."""
        if isinstance(node, ast.Lambda):
            return self.by_node.get(node)
        if isinstance(node, ast.Call) and self.full_name(module, node.func, scope) == "functools.partial" and node.args:
            return self.function(module, node.args[0], scope)
        return self.functions.get(self.full_name(module, node, scope) or "")

    def scope(self, module: Module, node: ast.AST) -> Function | None:
        """The function around a node."""
        around = module.function_around(node)
        return self.by_node.get(around) if around is not None else None

    def calls(self, module: Module, root: ast.AST | None = None) -> list[tuple[ast.Call, str]]:
        """Every call in a module, or below a node, with the full name of what is called ("": not known)."""
        root = root if root is not None else module.tree
        if root not in self._calls:
            self._calls[root] = [
                (node, self.full_name(module, node.func, self.scope(module, node)) or "")
                for node in ast.walk(root)
                if isinstance(node, ast.Call)
            ]
        return self._calls[root]

    def reached(self, start: Iterable[Function]) -> list[Function]:
        """These functions and all functions of the Space that they name, in turn."""
        found: dict[str, Function] = {}
        waiting = list(start)
        while waiting:
            function = waiting.pop(0)
            if function.name in found:
                continue
            found[function.name] = function
            if function not in self._names:
                self._names[function] = list(dict.fromkeys(self._named_in(function)))
            waiting += [other for other in self._names[function] if other.name not in found]
        return list(found.values())

    def named_at_import(self) -> list[Function]:
        """The functions that are named outside of functions, and so may run while the app starts."""
        found = [f for module in self.modules for f in self._named(module, at_import(module), None)]
        return list(dict.fromkeys(found))

    def _named_in(self, function: Function) -> Iterator[Function]:
        inside = [node for node in ast.walk(function.node) if node is not function.node]
        yield from (self.by_node[node] for node in inside if node in self.by_node)
        yield from self._named(function.module, inside, function)

    def _named(self, module: Module, nodes: Iterable[ast.AST], inside: Function | None) -> Iterator[Function]:
        for node in nodes:
            if not isinstance(node, ast.Name | ast.Attribute) or not isinstance(node.ctx, ast.Load):
                continue
            full = self.full_name(module, node, self.scope(module, node) or inside)
            if full in self.functions:
                yield self.functions[full]
            elif full in self.classes and _is_called(module, node):
                yield from (f for f in self.functions.values() if f.owner == full)


def _is_called(module: Module, node: ast.AST) -> bool:
    around = module.parents.get(node)
    return isinstance(around, ast.Call) and around.func is node


def _defined_by(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names if alias.name != "*")
