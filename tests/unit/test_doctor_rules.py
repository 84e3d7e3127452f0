"""Every rule: its wrong example is found, by it alone, and its right one is not."""

from __future__ import annotations

import re

import pytest
from doctor_spaces import CARD, codes, write

from zerokit.doctor.rule import GROUPS, all_rules, find_rule
from zerokit.errors import UsageError

RULES = all_rules()
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
PAID = CARD.replace("zero-a10g", "l4x1  # zerokit: ignore[ZK604]")
JAX = "import gradio as gr\nimport jax\n\n\ngr.Interface(jax.nn.softmax, 'json', 'json').launch()\n"
AROUND = {
    "ZK110": {"app.py": "from zerokit import ZeroChat\n\nZeroChat('embedded').launch()\n"},
    "ZK602": {"README.md": PAID, "app.py": JAX},
    "ZK603": {"README.md": PAID, "app.py": JAX.replace("jax", "tensorflow")},
    "ZK605": {"README.md": PAID, "requirements.txt": None},
    "ZK606": {"README.md": PAID},
}
"""What an example needs besides its own file."""


def example(folder, rule, text):
    return write(folder, **{**AROUND.get(rule.code, {}), rule.file: text})


@each_rule
def test_the_wrong_example_is_found_and_nothing_else(tmp_path, rule):
    assert codes(example(tmp_path, rule, rule.wrong)) == [rule.code]


@each_rule
def test_the_right_example_is_clean(tmp_path, rule):
    assert codes(example(tmp_path, rule, rule.right)) == []


@each_rule
def test_a_rule_says_what_why_and_what_to_do(rule):
    assert re.fullmatch(rf"ZK[{''.join(GROUPS)}]\d\d", rule.code)
    assert rule.severity in ("error", "warning")
    assert rule.title[-1] not in ".!"
    for text in (rule.why, rule.advice):
        assert text.endswith(".")
        assert 20 < len(text) < 400


def test_a_code_that_is_not_there_gets_the_nearest():
    with pytest.raises(UsageError, match=r"There is no rule .ZK1O1.*Did you mean ZK\d"):
        find_rule("ZK1O1")
    assert find_rule("zk101") is RULES[0]
