"""ZeroLoRA's page in a browser, with the real worker behind it: picking, weights, comparing, a visitor's own."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

sys.path.append(str(Path(__file__).parents[1] / "emulator"))

from chat_world import APPS, until, world
from folds import unfold
from test_chat import PATIENCE_MS, Chat

from zerokit import embedded

OTHERS = [f"other {number}" for number in range(1, 9)]
ADAPTERS = {"pirate": "embedded:chat-pirate", "terse": "embedded:chat-terse", "first": "embedded:chat-pirate"}
ADAPTERS |= dict.fromkeys(OTHERS, "embedded:chat-terse")
WHAT = "What is ZeroGPU?"
PLAIN, PIRATE = "ZeroGPU is shared", "ZeroGPU be shared"
"""How the answer begins."""


@pytest.fixture(scope="module")
def space():
    env = {
        "LORA_BASE": "embedded",
        "LORA_ADAPTERS": json.dumps(ADAPTERS),
        "LORA_CUSTOM": "1",
        "LORA_TOKENS": "64",
        "GRADIO_IS_E2E_TEST": "1",  # what a visitor leaves is removed after a second instead of an hour
    }
    with world(APPS.parent / "lora_apps" / "lora.py", env=env) as space:
        space.client().predict("Who are you?", ["pirate", "terse"], api_name="/compare")  # so that nothing waits for it
        yield space


class Lora(Chat):
    """A visitor's page with adapters."""

    def card(self, name):
        return self.root.locator(".zl").get_by_role("button", name=name, exact=True)

    def weight(self, name):
        return self.root.get_by_role("slider", name=f"Weight of {name}")

    def pick(self, *names):
        for name in names:
            self.card(name).click()
            expect(self.card(name)).to_have_attribute("aria-pressed", "true")

    def picked(self):
        return [one.get_attribute("title") for one in self.root.locator(".zl-card[aria-pressed=true]").all()]

    @property
    def compare(self):
        return self.root.get_by_role("button", name=re.compile("^Compare"))

    @property
    def columns(self):
        return self.root.locator(".zs-one")

    def clear(self):
        self.root.locator(".zl").get_by_role("button", name="Clear", exact=True).click()  # the chat has one, too

    def open_own(self):
        unfold(self.root.get_by_role("button", name="An adapter of your own"))


@pytest.fixture
def visit(space, visitors):
    """Opens pages, each of a visitor with a browser of their own; nothing is left when they are gone."""
    space.new_day()
    pages = []

    def open_page(url=space.app.url, **context):
        pages.append(Lora(visitors.page(**context), url))
        expect(pages[-1].card("pirate")).to_be_visible(timeout=PATIENCE_MS)
        return pages[-1]

    yield open_page
    visitors.leave()
    space.new_day()
    space.settle()
    assert [page.problems for page in pages if page.problems] == []


@pytest.fixture
def lora(visit):
    return visit(viewport={"width": 1100, "height": 900})


def test_what_is_picked_answers_and_what_is_not_does_not(space, lora):
    assert lora.answered(WHAT).startswith(PLAIN)
    lora.pick("pirate")
    assert lora.answered(WHAT).startswith(PIRATE)
    lora.weight("pirate").fill("0")
    lora.root.get_by_role("button", name="New chat").click()
    expect(lora.asked).to_have_count(0)
    assert lora.answered(WHAT).startswith(PLAIN)
    lora.card("pirate").click()
    expect(lora.card("pirate")).to_have_attribute("aria-pressed", "false")
    expect(lora.weight("pirate")).to_be_hidden()


def test_retry_uses_what_is_picked_then(space, lora):
    lora.pick("pirate")
    assert lora.answered(WHAT).startswith(PIRATE)
    lora.clear()
    lora.root.get_by_role("button", name="Retry").click()
    expect(lora.answers.last).to_contain_text(PLAIN, timeout=PATIENCE_MS)
    lora.ready()


def test_search_random_clear_and_at_most_eight(space, lora):
    field = lora.root.get_by_role("searchbox", name="Search adapters")
    field.fill("PIR")
    expect(lora.card("terse")).to_be_hidden()
    expect(lora.card("pirate")).to_be_visible()
    field.fill("nothing like that")
    expect(lora.root.get_by_text("No adapter is called that.")).to_be_visible()
    field.fill("")
    lora.root.get_by_role("button", name="Random").click()
    expect(lora.root.locator(".zl-card[aria-pressed=true]")).to_have_count(1)
    (first,) = lora.picked()
    lora.root.get_by_role("button", name="Random").click()
    expect(lora.root.locator(".zl-card[aria-pressed=true]")).to_have_count(1)
    assert lora.picked() != [first]
    lora.clear()
    assert lora.picked() == []
    lora.pick(*OTHERS)
    lora.card("pirate").click()
    expect(lora.root.get_by_text("At most 8 adapters work together.")).to_be_visible()
    expect(lora.card("pirate")).to_have_attribute("aria-pressed", "false")


def test_trigger_words_are_shown_and_an_example_comes_into_the_text_box(space, lora):
    lora.pick("first")
    expect(lora.root.get_by_text("Adds “Ahoy!” to the prompt")).to_be_visible()
    lora.root.get_by_role("button", name="Who are you?").last.click()
    expect(lora.box).to_have_value("Who are you?")


def test_a_comparison_is_priced_before_the_click_and_takes_one_run(space, lora):
    expect(lora.compare).to_be_disabled()
    lora.pick("pirate", "terse")
    expect(lora.compare).to_have_text(re.compile(r"Compare 3 answers · about \d+"))
    lora.box.fill(WHAT)
    before = len(space.z.calls)
    lora.compare.click()
    expect(lora.columns).to_have_count(3, timeout=PATIENCE_MS)
    names = lora.root.locator(".zs-name")
    expect(names).to_have_text(["Base", "pirate", "terse"])
    expect(lora.columns.nth(0)).to_contain_text(PLAIN)
    expect(lora.columns.nth(1)).to_contain_text(PIRATE)
    expect(lora.root.get_by_text("3 answers in one run")).to_be_visible()
    expect(lora.bar).to_contain_text("7 runs left")
    expect(lora.box).to_have_value(WHAT)
    expect(lora.asked).to_have_count(0)
    until(lambda: len(space.z.calls) > before)
    (call,) = space.z.calls[before:]
    assert (call.outcome, call.runs_left) == ("done", 7)
    lora.root.get_by_text("Close", exact=True).click()
    expect(lora.columns).to_have_count(0)


def test_without_text_what_was_asked_last_is_compared(space, lora):
    lora.pick("pirate")
    lora.compare.click()
    expect(lora.root.get_by_text("Type a message first.")).to_be_visible()
    assert lora.answered(WHAT).startswith(PIRATE)
    lora.compare.click()
    expect(lora.columns).to_have_count(2, timeout=PATIENCE_MS)
    expect(lora.columns.nth(1)).to_contain_text(PIRATE)


def test_a_comparison_is_stopped_and_one_that_fails_says_why(space, lora):
    lora.pick("pirate")
    lora.box.fill(WHAT)
    space.z.set_faults("slow:0.2@1")
    lora.compare.click()
    expect(lora.root.get_by_text(re.compile(r"Writing 2 answers · [1-9]"))).to_be_visible(timeout=PATIENCE_MS)
    lora.root.get_by_role("button", name="Stop", exact=True).last.click()
    assert until(lambda: space.z.leases == []) < 5
    expect(lora.root.get_by_text("stopped by you")).to_be_visible(timeout=PATIENCE_MS)
    expect(lora.compare).to_be_enabled()
    space.z.set_faults("oom-always@1")
    lora.compare.click()
    expect(lora.root.get_by_text("Too large for the GPU")).to_be_visible(timeout=PATIENCE_MS)
    expect(lora.box).to_have_value(WHAT)
    assert lora.picked() == ["pirate"]
    expect(lora.compare).to_be_enabled()


def upload(lora, *files):
    lora.open_own()
    lora.root.locator("input[type=file]").last.set_input_files([str(file) for file in files])
    expect(lora.root.get_by_text(".safetensors").last).to_be_visible(timeout=PATIENCE_MS)
    lora.root.get_by_role("button", name="Check and add").click()


def test_an_adapter_of_ones_own(space, visit, tmp_path):
    lora, other = visit(viewport={"width": 1100, "height": 1100}), visit()
    before = len(space.z.calls)
    lora.box.fill("half typed")
    lora.open_own()
    lora.root.get_by_label("On the Hub").fill("../../etc/passwd")
    lora.root.get_by_role("button", name="Check and add").click()
    expect(lora.root.get_by_text("is no repository of the Hub")).to_be_visible(timeout=PATIENCE_MS)
    expect(lora.root.get_by_label("On the Hub")).to_have_value("../../etc/passwd")
    lora.root.get_by_label("On the Hub").fill("")
    source = embedded.path("chat-pirate")
    weights = shutil.copy(source / "adapter_model.safetensors", tmp_path / "my-pirate.safetensors")
    upload(lora, weights)
    expect(lora.root.get_by_text("has no adapter_config.json")).to_be_visible(timeout=PATIENCE_MS)
    assert len(space.z.calls) == before
    assert space.client().predict(api_name="/folders") == []
    upload(lora, weights, source / "adapter_config.json")
    expect(lora.card("my-pirate")).to_have_attribute("aria-pressed", "true", timeout=PATIENCE_MS)
    expect(lora.box).to_have_value("half typed")
    assert lora.answered(WHAT).startswith(PIRATE)
    expect(other.card("my-pirate")).to_have_count(0)
    assert len(space.client().predict(api_name="/folders")) == 1
    lora.root.get_by_role("button", name="Remove my-pirate").click()
    expect(lora.card("my-pirate")).to_have_count(0)
    assert space.client().predict(api_name="/folders") == []
    upload(lora, weights, source / "adapter_config.json")
    expect(lora.card("my-pirate")).to_be_visible(timeout=PATIENCE_MS)
    assert len(space.client().predict(api_name="/folders")) == 1
    lora.page.close()
    until(lambda: space.client().predict(api_name="/folders") == [], timeout_s=30)


def test_two_visitors_do_not_mix(space, visit):
    ann, bob = visit(), visit()
    ann.pick("pirate")
    bob.pick("terse")
    space.z.set_faults("slow:0.02")
    ann.ask(WHAT)
    bob.ask(WHAT)
    expect(ann.answers.last).to_contain_text(PIRATE, timeout=PATIENCE_MS)
    expect(bob.answers.last).to_contain_text(PLAIN, timeout=PATIENCE_MS)
    ann.ready()
    bob.ready()


def test_with_the_keyboard_on_a_phone_in_the_dark(space, visit):
    lora = visit(f"{space.app.url}?__theme=dark", viewport={"width": 360, "height": 740})

    def fits():
        return lora.page.evaluate("document.documentElement.scrollWidth") <= 360

    assert fits()
    lora.card("pirate").focus()
    lora.page.keyboard.press("Space")
    expect(lora.card("pirate")).to_have_attribute("aria-pressed", "true")
    lora.weight("pirate").focus()
    lora.page.keyboard.press("ArrowRight")
    expect(lora.root.locator(".zl-number")).to_have_text("1.05")
    assert fits()
    lora.box.fill(WHAT)
    lora.compare.click()
    expect(lora.root.locator(".zs-name")).to_have_text(["Base", "pirate × 1.05"], timeout=PATIENCE_MS)
    assert fits()
