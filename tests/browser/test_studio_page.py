"""The template `studio`: two blocks in tabs, whose bars tell the same and keep their own prices."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

sys.path.append(str(Path(__file__).parents[1] / "emulator"))

from studio import PATIENCE_MS, Studio
from test_chat import Chat

from zerokit import templates
from zerokit.testing import Space

START_S = 300


@pytest.fixture(scope="module")
def space():
    with Space(templates.folder("studio"), timeout_s=START_S) as space:
        yield space


@pytest.mark.timeout(2 * START_S)
def test_both_blocks_answer_programs_of_every_plan_from_one_worker(space):
    for n, plan in enumerate(("anonymous", "pro", "team", "enterprise")):
        visitor = space.visitor(plan)
        assert "GPU" in visitor.call("/chat", "What is ZeroGPU?", temperature=0)["text"]
        pictures, _ = visitor.call("/generate", "a red circle", steps=4, seed=1)
        assert len(pictures) == 1
        assert [(call.outcome, call.cold) for call in visitor.calls] == [("done", n == 0), ("done", False)]
        assert all(call.used_s <= call.reserved_s for call in visitor.calls)
    assert len({call.pids for call in space.calls}) == 1


def test_the_bars_of_both_tabs_tell_the_same(space, browser):
    context = browser.new_context(locale="en-GB", timezone_id="UTC")
    chat = Chat(context.new_page(), space.app.url)
    page = chat.page
    chat.root = page.get_by_role("tabpanel").first
    expect(chat.bar).to_have_text("5 min and 8 runs left")
    page.get_by_role("tab", name="Images").click()
    studio = Studio.__new__(Studio)
    studio.page, studio.root = page, page.locator(".zi-page:visible")
    expect(studio.bar.locator(".zq-price")).to_contain_text(re.compile(r"about \d+ s"), timeout=PATIENCE_MS)
    price = studio.bar.locator(".zq-price").inner_text()

    page.get_by_role("tab", name="Chat").click()
    chat.answered("What is ZeroGPU?")
    left = chat.bar.inner_text()
    assert "7 runs left" in left
    page.get_by_role("tab", name="Images").click()
    expect(studio.bar.locator(".zq-main")).to_have_text(left)
    assert studio.bar.locator(".zq-price").inner_text() == price

    studio.paint("a red circle on a white background")
    expect(studio.bar.locator(".zq-main")).to_contain_text("6 runs left")
    page.get_by_role("tab", name="Chat").click()
    expect(chat.bar).to_contain_text("6 runs left")
    assert chat.problems == []
    context.close()
