"""The guide to deploying tells every error by its title, and the numbers of the data file."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import typer.main

from zerokit import cli
from zerokit.deploy import errors
from zerokit.deploy.files import size_of
from zerokit.quota.platform import PLANS, SPACE_REPO_BYTES

GUIDE = (Path(__file__).parents[2] / "docs/guides/deploying.md").read_text("utf-8")
KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind is not errors.DeployError], ids=lambda kind: kind.__name__
)
def test_every_error_is_told(kind):
    assert f"| {kind.title} |" in GUIDE


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_stands_in_the_tree(kind):
    assert re.search(rf"^\W*{kind.__name__}\b", errors.__doc__, re.MULTILINE)
    assert kind.title
    assert str(kind("It happened.")).startswith("It happened.")


def test_every_option_is_told():
    options = typer.main.get_command(cli.app).commands["deploy"].params
    for option in options:
        names = [name for name in (*option.opts, *option.secondary_opts) if name.startswith("--") and name != "--smoke"]
        assert not names or any(f"`{name}`" in GUIDE for name in names), option


def test_the_numbers_are_those_of_the_data_file():
    assert f"A free account hosts {PLANS['free'].hosts} (" in GUIDE
    assert f"PRO {PLANS['pro'].hosts}, a Team or Enterprise organisation {PLANS['team'].hosts}." in GUIDE
    assert PLANS["team"].hosts == PLANS["enterprise"].hosts
    assert f"holds {size_of(SPACE_REPO_BYTES).replace('.0', '')})" in GUIDE
