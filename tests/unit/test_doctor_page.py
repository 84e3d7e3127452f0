"""The page of the rules, `--explain` and the guide say the same as the rules."""

from __future__ import annotations

import re
from pathlib import Path

import zerokit
from zerokit.doctor.fixes import MENDERS
from zerokit.doctor.page import explain, page
from zerokit.doctor.rule import all_rules, find_rule

DOCS = Path(zerokit.__file__).parents[1] / "docs"


def test_the_page_is_what_the_rules_say():
    told = (DOCS / "reference/doctor.md").read_text("utf-8")
    assert told == page(), "write it anew: python -m zerokit.doctor.page > docs/reference/doctor.md"


def test_the_page_holds_what_explain_prints_and_no_token():
    told = re.sub(r"<!--.*?-->\n", "", page())
    for rule in all_rules():
        assert explain(rule) in told
    assert "hf_..." in told
    assert not re.search(r"hf_\w{20,}", told)


def test_the_guide_names_what_fix_changes():
    guide = (DOCS / "guides/doctor.md").read_text("utf-8")
    named = set(re.findall(r"reference/doctor\.md#zk(\d+)", guide.partition("## What `--fix` changes")[2]))
    assert {f"ZK{number}" for number in named} == set(MENDERS)
    assert set(MENDERS) == {rule.code for rule in all_rules() if rule.fixable}


def test_the_gradio_that_zerokit_needs_is_that_of_pyproject():
    asked = re.search(r'"gradio\[[\w,]*\]>=([\d.]+)"', (DOCS.parent / "pyproject.toml").read_text("utf-8"))
    assert f"ZeroKit needs {asked[1]} or newer" in find_rule("ZK105").why
