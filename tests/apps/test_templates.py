"""Every template of `zerokit new`, as it is copied: on ZeroGPU for visitors of every plan, off it, and by the doctor.

The studio on ZeroGPU is in tests/browser/test_studio_page.py, with its page.
"""

from __future__ import annotations

import csv
import runpy
from pathlib import Path

import gradio as gr
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from zerokit import templates
from zerokit.doctor import examine
from zerokit.errors import RequestError
from zerokit.quota.platform import PLANS
from zerokit.testing import Space

START_S = 300
"""An app starts slowly where many others compute."""

PROMPT = "a red circle on a white background"


def is_answer(answer):
    return "GPU" in answer["text"] and answer["ended"] == "complete"


def is_picture(made):
    """What `/generate` gives: pictures and their details."""
    pictures, details = made
    with Image.open(pictures[0]["image"]) as picture:
        return picture.size == (details["width"], details["height"])


def is_painted(file):
    with Image.open(file) as picture:
        return picture.size == (64, 64)


def is_read(words):
    surprises = {word["token"].strip(): word["class_or_confidence"] for word in words}
    return surprises["Zero"] == 0 and all(0 <= surprise <= 1 for surprise in surprises.values())


def is_table(made):
    rows, file = made
    with Path(file).open(encoding="utf-8", newline="") as table:
        written = list(csv.reader(table))
    asked = [row[0] for row in written[1:]]
    return (
        written[0] == ["prompt", "answer", "ended"]
        and asked == ["What is ZeroGPU?", "What is a run?"]
        and rows["data"] == written[1:]
        and "GPU" in written[1][1]
    )


CALLS = {
    "chat": ("/chat", {"message": "What is ZeroGPU?", "temperature": 0}, is_answer),
    "diffusion": ("/generate", {"prompt": PROMPT, "steps": 4, "seed": 1}, is_picture),
    "lora-chat": ("/chat", {"message": "What is ZeroGPU?", "adapters": ["chat-terse"], "temperature": 0}, is_answer),
    "lora-diffusion": (
        "/generate",
        {"prompt": PROMPT, "steps": 4, "seed": 1, "adapters": ["image-outline"]},
        is_picture,
    ),
    "gpu-function": ("/read", {"text": "ZeroGPU is fast.\n\nWhat is a run?"}, is_read),
    "quota-component": ("/paint", {"prompt": PROMPT, "steps": 4}, is_painted),
    "studio": ("/chat", {"message": "What is ZeroGPU?", "temperature": 0}, is_answer),
    "batch": ("/answer", {"file": "What is ZeroGPU?\n\n  What is a run?\n"}, is_table),
}
"""An endpoint of each, what it is asked, and whether its answer is right. A file is given as its text."""
WRONG = {
    "gpu-function": ({"text": " \n"}, "Nothing to read"),
    "quota-component": ({"prompt": " ", "steps": 4}, "No prompt"),
    "batch": ({"file": "\n"}, "Not that many"),
    "chat": ({"message": ""}, "Please check your input"),
}
"""What is refused before a GPU is asked for, with the title of the error."""


@pytest.fixture
def asked(tmp_path):
    """The parameters of a call; the text of a file becomes a file."""

    def with_files(values):
        if "file" not in values:
            return values
        file = tmp_path / "prompts.txt"
        file.write_text(values["file"], "utf-8")
        return {**values, "file": handle_file(str(file))}

    return with_files


def check_every_plan(space, name, asked):
    """One call by a visitor of each plan, within the plan's day, and one by a visitor who has no time left."""
    endpoint, values, is_right = CALLS[name]
    for n, (plan_name, plan) in enumerate(PLANS.items()):
        visitor = space.visitor(plan_name)
        assert is_right(visitor.call(endpoint, **asked(values)))
        (call,) = visitor.calls
        assert (call.visitor, call.outcome, call.cold) == (plan_name, "done", n == 0)
        assert call.used_s <= call.reserved_s <= plan.cap_s
        assert visitor.left_s == pytest.approx(plan.base_s - call.charged_s)
        assert visitor.runs_left == (None if plan.runs is None else plan.runs - 1)
    poor = space.visitor("free:poor", left_s=0)
    with pytest.raises(AppError) as refused:
        poor.call(endpoint, **asked(values))
    title = "ZeroGPU quota exceeded" if name == "quota-component" else "Not enough GPU time left"
    assert refused.value.title == title
    assert all(call.refused == "seconds" for call in poor.calls)
    assert len(space.calls) == len(PLANS) + len(poor.calls)


@pytest.mark.timeout(2 * START_S)
@pytest.mark.parametrize("name", sorted(CALLS.keys() - {"chat", "studio"}))
def test_on_zero_gpu_it_serves_visitors_of_every_plan(name, asked):
    with Space(templates.folder(name), timeout_s=START_S) as space:
        check_every_plan(space, name, asked)
        if name in WRONG:
            values, title = WRONG[name]
            before = len(space.calls)
            with pytest.raises(AppError) as refused:
                space.visitor("pro").call(CALLS[name][0], **asked(values))
            assert refused.value.title == title
            assert len(space.calls) == before


@pytest.mark.timeout(2 * START_S)
def test_on_zero_gpu_the_chat_serves_visitors_of_every_plan(chat_space, asked):
    check_every_plan(chat_space, "chat", asked)


# Gradio's server leaves its event loop and sockets to the collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.timeout(START_S)
@pytest.mark.parametrize("name", CALLS)
def test_off_zero_gpu_it_is_a_plain_app(name, asked, monkeypatch):
    monkeypatch.setenv("ZEROKIT_MODEL", "embedded")
    demo = runpy.run_path(str(templates.folder(name) / "app.py"))["demo"]
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True)
    endpoint, values, is_right = CALLS[name]
    client = Client(url, verbose=False, analytics_enabled=False)
    try:
        assert is_right(client.predict(api_name=endpoint, **asked(values)))
    finally:
        client.close()
        demo.close(verbose=False)


def test_the_price_of_a_batch_grows_with_its_file_and_is_what_is_reserved(monkeypatch):
    monkeypatch.setenv("ZEROKIT_MODEL", "embedded")
    chat = runpy.run_path(str(templates.folder("batch") / "app.py"))["chat"]
    assert chat.batch_quote(["What is a run?"]).reserved_s is None  # off ZeroGPU
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setattr("zerokit.calls.function.factor", lambda: 1.5)
    monkeypatch.setattr("zerokit.calls.function.default_size", lambda: None)
    few, many = (chat.batch_quote(["What is a run?"] * rows) for rows in (1, 64))
    assert 1 <= few.reserved_s < many.reserved_s
    with pytest.raises(RequestError):
        chat.batch_quote([""])


@pytest.mark.parametrize("name", ["chat", "diffusion", "lora-chat", "batch"])
def test_a_title_is_shown_as_it_is_written(name, tmp_path, monkeypatch):
    monkeypatch.setenv("ZEROKIT_MODEL", "embedded")
    templates.create(templates.choose(name, None), tmp_path / "space", title="<b>Tom & *Jerry*</b>")
    demo = runpy.run_path(str(tmp_path / "space" / "app.py"))["demo"]
    shown = [block.value for block in demo.blocks.values() if isinstance(block, gr.Markdown)]
    assert demo.title == "<b>Tom & *Jerry*</b>"
    headings = [text for text in shown if "Jerry" in text]
    assert len(headings) == 1
    assert "&lt;b&gt;Tom &amp; *Jerry*&lt;/b&gt;" in headings[0] or r"\<b\>Tom \& \*Jerry\*\</b\>" in headings[0]


@pytest.mark.parametrize("name", CALLS)
def test_the_doctor_finds_nothing(name):
    assert examine(templates.folder(name)).findings == ()


def test_every_template_is_tried():
    assert CALLS.keys() == templates.TEMPLATES.keys()
