"""`zerokit.testing`: what a Space's author tries an app with."""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path

import pytest
from gradio_client.exceptions import AppError

import zerokit
from zerokit.emulator.processes import group_members
from zerokit.errors import UsageError
from zerokit.testing import Space

APP = """
import os, sys
import gradio as gr
if os.environ.get("BREAK"):
    sys.exit("This app is broken.")
print("ready", os.environ.get("ZEROKIT_MODEL"), os.environ["TMPDIR"])
def model() -> str:
    return os.environ["ZEROKIT_MODEL"]

with gr.Blocks() as demo:
    gr.api(model, api_name="model")
demo.launch()
"""


def ask(visitor, **settings):
    return visitor.call("/chat", "What is ZeroGPU?", **{"max_new_tokens": 8, **settings})


def test_a_call_is_booked_when_its_answer_is_there(chat):
    visitor = chat.visitor("free:ann")
    for n in (1, 2):
        assert ask(visitor)["new_tokens"] <= 8
        assert len(visitor.calls) == n
        assert visitor.last is visitor.calls[-1]
        assert visitor.last.outcome == "done"
        assert visitor.runs_left == 8 - n
    assert visitor.left_s == pytest.approx(300 - sum(call.charged_s for call in visitor.calls))
    assert chat.calls[-1] == visitor.last


def test_the_same_name_is_the_same_visitor(chat):
    assert chat.visitor("free:bob") is chat.visitor("free:bob")
    assert chat.visitor("free:bob", left_s=7).left_s == 7
    assert chat.visitor("free:bob").runs_left == 8
    assert chat.visitor("free:bob", runs=0).left_s == 7


def test_who_has_nothing_left_is_refused_until_the_next_day(chat):
    visitor = chat.visitor("anonymous:zoe", runs=0)
    with pytest.raises(AppError) as refused:
        ask(visitor)
    assert refused.value.title == "No runs left today"
    assert visitor.last.refused == "runs"
    chat.new_day()
    assert visitor.runs_left == 2
    assert ask(visitor)["ended"] in ("complete", "length")


def test_a_fault_holds_inside_its_block_alone(chat):
    visitor = chat.visitor("pro:fay")
    with chat.faults("queue-timeout"), pytest.raises(AppError) as refused:
        ask(visitor)
    assert refused.value.title == "All GPUs are busy"
    with pytest.raises(ZeroDivisionError), chat.faults("503"):
        raise ZeroDivisionError
    assert ask(visitor)["text"]
    assert [call.outcome for call in visitor.calls] == ["queue-timeout", "done"]


def test_who_has_called_nothing_has_no_last_call(chat):
    with pytest.raises(LookupError, match="free:new has made no GPU call yet"):
        _ = chat.visitor("free:new").last


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("fre", {}, "Did you mean 'free'"),
        ("free:a b", {}, "A visitor's own name"),
        ("free:x", {"left_s": 301}, "0 to 300 s"),
        ("pro:x", {"runs": 1}, "no limit of runs"),
    ],
)
def test_a_visitor_that_cannot_be_is_refused(chat, name, more, said):
    with pytest.raises(ValueError, match=said):
        chat.visitor(name, **more)


def test_the_tests_of_the_guide_pass(chat):
    page = (Path(zerokit.__file__).parents[1] / "docs/guides/testing.md").read_text("utf-8")
    (block,) = re.findall(r"^```python\n(import pytest\n.*?)^```$", page, re.MULTILINE | re.DOTALL)
    names = {"Space": Space}
    exec(block, names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert [list(inspect.signature(test).parameters) for test in tests] == [["my_space"]] * 3
    for test in tests:
        chat.new_day()
        test(chat)


@pytest.mark.timeout(300)
def test_a_space_is_started_in_a_place_of_its_own_and_leaves_nothing(tmp_path):
    (tmp_path / "main.py").write_text(APP)
    (tmp_path / "README.md").write_text("---\ntitle: Mine\napp_file: main.py\n---\n")
    with Space(tmp_path, model="me/mine", env={"MORE": "1"}, timeout_s=250) as space:
        assert space.visitor().call("/model") == "me/mine"
        assert space.calls == []
        scratch = space.app.log().split("ready me/mine ")[1].split()[0]
        assert os.path.isdir(scratch)
        group = space.app.process.pid
    assert not os.path.exists(scratch)
    assert group_members(group) == []


@pytest.mark.timeout(300)
def test_an_app_that_ends_says_what_it_said(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    with (
        pytest.raises(RuntimeError, match=r"exit code 1(.|\n)*This app is broken\."),
        Space(tmp_path, env={"BREAK": "1"}, timeout_s=250),
    ):
        raise AssertionError("it must not start")


def test_a_space_that_is_none_is_refused_before_anything_starts(tmp_path):
    with pytest.raises(UsageError, match=r"There is no app .*app\.py"):
        Space(tmp_path)
    with pytest.raises(UsageError, match=r"There is no app .*nowhere"):
        Space(tmp_path / "nowhere")
    (tmp_path / "README.md").write_text("---\ntitle: [\n---\n")
    with pytest.raises(UsageError, match="not valid YAML"):
        Space(tmp_path)


def test_a_space_outside_of_its_block_does_not_run(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    with pytest.raises(UsageError, match="use it in a `with` statement"):
        Space(tmp_path).visitor()
