"""What `import zerokit` gives: the names it says, each from where it says."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import zerokit


def test_all_is_the_lazy_table():
    assert sorted(zerokit.__all__) == sorted(["__version__", *zerokit._HOMES])
    assert dir(zerokit) == sorted(zerokit.__all__)


def test_type_checkers_see_the_same_names_from_the_same_homes():
    tree = ast.parse(Path(zerokit.__file__).read_text("utf-8"))
    checking = next(node for node in tree.body if isinstance(node, ast.If))
    twins = {
        alias.asname or alias.name: node.module
        for node in checking.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert twins == zerokit._HOMES


@pytest.mark.parametrize("name", sorted(zerokit._HOMES))
def test_every_name_is_there_and_documented(name):
    value = getattr(zerokit, name)
    assert value is getattr(importlib.import_module(f"zerokit.{zerokit._HOMES[name]}"), name)
    assert inspect.getdoc(value)


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="module 'zerokit' has no attribute 'ZeroChad'"):
        zerokit.ZeroChad  # noqa: B018
