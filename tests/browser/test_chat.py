"""ZeroChat's page in a browser, with the real worker behind it: asking, Stop, Continue, errors, leaving."""

import re
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, expect

sys.path.append(str(Path(__file__).parents[1] / "emulator"))

from chat_world import APPS, until, world
from folds import unfold

LONG = "Tell me a story"
OVER = re.compile(r"^\d+ tokens?")
PATIENCE_MS = 30_000


@pytest.fixture(scope="module")
def space():
    with world(APPS / "chat.py", env={"CHAT_MODEL": "embedded", "CHAT_TOKENS": "256"}) as space:
        space.ask("Who are you?", max_new_tokens=64)  # so that what a test waits for is no cold start
        yield space


class Chat:
    """A visitor's page."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        page.set_default_timeout(PATIENCE_MS)
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.goto(url)
        self.root = page
        expect(self.bar).to_contain_text("left", timeout=PATIENCE_MS)

    @property
    def bar(self):
        return self.root.locator(".zq-main")

    @property
    def box(self):
        return self.root.locator("[id^=zerokit-ask] textarea")

    @property
    def asked(self):
        return self.root.locator(".message.user")

    @property
    def answers(self):
        return self.root.locator(".bot.message")

    @property
    def stop(self):
        return self.root.locator(".stop-button")

    @property
    def go_on(self):
        return self.root.get_by_role("button", name="Continue", exact=True)

    def line(self, text=OVER):
        """The line under an answer, which comes when it is over."""
        return self.root.get_by_text(text).last

    def ask(self, text: str) -> None:
        self.box.fill(text)
        self.box.press("Enter")

    def ready(self) -> None:
        expect(self.root.locator(".submit-button")).to_be_visible(timeout=PATIENCE_MS)
        expect(self.box).to_be_enabled()
        expect(self.box).to_have_attribute("placeholder", "Ask something")

    def answered(self, text: str) -> str:
        """Ask and wait for the end; the last thing that was said, without what is said about it."""
        before = self.root.get_by_text(OVER).count()
        self.ask(text)
        expect(self.root.get_by_text(OVER)).to_have_count(before + 1, timeout=PATIENCE_MS)
        self.ready()
        return self.last_answer()

    def last_answer(self) -> str:
        return self.answers.last.locator(".prose").first.inner_text()

    def earlier(self, text: str):
        """A conversation of before, in the list beside the page."""
        found = self.root.get_by_role("gridcell", name=text)
        opened = self.root.get_by_role("button", name="Earlier chats")
        if not found.is_visible() and opened.get_attribute("aria-expanded") != "true":
            opened.click()
        return found


@pytest.fixture
def visit(space, visitors):
    """Opens pages, each of a visitor with a browser of their own; nothing is left when they are gone."""
    space.new_day()
    chats = []

    def open_page(url=space.app.url, **context):
        chats.append(Chat(visitors.page(**context), url))
        return chats[-1]

    yield open_page
    visitors.leave()
    space.new_day()
    space.settle()
    assert [chat.problems for chat in chats if chat.problems] == []


@pytest.fixture(scope="module")
def shared_page(space, browser):
    context = browser.new_context(locale="en-GB", timezone_id="UTC")
    yield Chat(context.new_page(), space.app.url)
    context.close()


@pytest.fixture
def chat(space, shared_page):
    """One page for many tests, each in a conversation of its own."""
    space.new_day()
    shared_page.root.get_by_role("button", name="New chat").click()
    expect(shared_page.asked).to_have_count(0)
    yield shared_page
    space.new_day()
    shared_page.ready()
    space.settle()
    assert shared_page.problems == []


def test_an_example_and_then_a_question(space, visit):
    chat = visit(viewport={"width": 1100, "height": 760})
    expect(chat.bar).to_contain_text("5 min and 8 runs left")
    expect(chat.root.get_by_text(re.compile("Next run: about"))).to_be_visible()
    chat.root.get_by_role("button", name="What is ZeroGPU?").click()
    expect(chat.answers.last).to_contain_text("ZeroGPU is shared GPU hardware", timeout=PATIENCE_MS)
    expect(chat.line()).to_contain_text("per second")
    chat.ready()
    expect(chat.bar).to_contain_text("7 runs left")
    expect(chat.bar).not_to_contain_text("5 min and")
    assert "demonstration model" in chat.answered("Who are you?")
    assert space.last.cold is False
    expect(chat.bar).to_contain_text("6 runs left")
    expect(chat.asked).to_have_text(["What is ZeroGPU?", "Who are you?"])
    expect(chat.earlier("What is ZeroGPU?")).to_be_visible()


def test_stop_keeps_what_was_made_and_continue_goes_on_with_it(space, chat):
    space.z.set_faults("slow:0.1@1")
    chat.ask(LONG)
    expect(chat.line(re.compile("Writing . [4-9]"))).to_be_visible()
    chat.stop.click()
    assert until(lambda: space.z.leases == []) < 3
    expect(chat.line("stopped by you")).to_be_visible()
    chat.ready()
    expect(chat.box).to_be_focused()
    partial = chat.last_answer()
    assert partial.startswith("There was")
    chat.go_on.click()
    expect(chat.line("stopped by you")).to_be_hidden()
    expect(chat.line()).to_be_visible(timeout=PATIENCE_MS)
    chat.ready()
    expect(chat.answers).to_have_count(1)
    whole = chat.last_answer()
    assert whole.startswith(partial.strip())
    assert len(whole) > len(partial)
    expect(chat.asked).to_have_text([LONG])


def test_the_next_turn_after_a_stop_is_sent_without_notes(space, chat):
    space.z.set_faults("slow:0.1@1")
    chat.ask("What is ZeroGPU?")
    expect(chat.line(re.compile("Writing . [4-9]"))).to_be_visible()
    chat.stop.click()
    expect(chat.line("stopped by you")).to_be_visible()
    chat.ready()
    partial = chat.last_answer()
    said = [{"role": "user", "content": "What is ZeroGPU?"}, {"role": "assistant", "content": partial}]
    on_the_page = chat.answered("Who are you?")
    as_program = space.ask("Who are you?", said)
    assert on_the_page[:40] == as_program["text"][:40]
    chat.root.get_by_text(OVER).last.click()
    expect(chat.root.get_by_text(f"Prompt: {as_program['prompt_tokens']} tokens")).to_be_visible()


def test_stop_in_the_queue(space, chat):
    space.z.set_faults("queue:30@1")
    chat.ask("Who are you?")
    expect(chat.line("Waiting for a GPU")).to_be_visible()
    chat.stop.dblclick()
    expect(chat.line("Stopped before there was an answer.")).to_be_visible()
    until(lambda: not space.z._scheduler.queue)
    assert space.last.outcome == "withdrawn"
    chat.ready()
    expect(chat.go_on).to_be_hidden()
    assert "demonstration model" in chat.answered("Who are you?")


def left(space, seconds: float) -> None:
    """Leave the visitor that much; a call of a program before it makes the app ask the Hub again at the next."""
    space.z.set_left("free", 300)
    with suppress(AppError):  # where the app still believes that nothing is left
        space.ask("Who are you?", max_new_tokens=1)
    space.z.set_left("free", seconds)


FAULTS = {
    "seconds": ("Not enough GPU time left", "you have 0 s left; it comes back in"),
    "runs": ("No runs left today", "Come back when your runs do"),
    "cap": ("Too long for one call", "waiting does not help"),
    "credits": ("Your credits are in use", "once your other tasks have finished"),
    "queue-timeout": ("All GPUs are busy", "No GPU came free within 60 s"),
    "cut-queue": ("No GPU available", "Try again in a minute"),
    "401": ("Your visit has expired", "Reload the page"),
    "503": ("No GPU available", "Try again in a minute"),
    "refused": ("No GPU available", "does not answer"),
    "oom-always": ("Too large for the GPU", "2.50 GiB"),
    "nan": ("The model lost its way", "NaN"),
    "kill:0": ("The GPU call was interrupted", "Please try again"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_is_explained_and_what_was_typed_is_kept(space, chat, fault):
    title, words = FAULTS[fault]
    space.z.set_faults(fault)
    chat.ask("Who are you?")
    expect(chat.answers.last).to_contain_text(title, timeout=PATIENCE_MS)
    expect(chat.answers.last).to_contain_text(words)
    chat.ready()
    expect(chat.asked).to_have_text(["Who are you?"])
    expect(chat.go_on).to_be_hidden()
    space.z.set_faults()
    chat.root.get_by_role("button", name="Retry").click()
    expect(chat.answers.last).to_contain_text("demonstration model", timeout=PATIENCE_MS)
    chat.ready()
    expect(chat.asked).to_have_text(["Who are you?"])
    expect(chat.root.get_by_text(title)).to_be_hidden()


@pytest.mark.parametrize(
    ("fault", "left_s", "ended"),
    [("kill:0.6@1", 300, "interrupted"), ("slow:0.2@1", 5, "cut when the reserved GPU time ended")],
)
def test_an_answer_that_is_cut_is_kept_and_continued(space, chat, fault, left_s, ended):
    left(space, left_s)
    space.z.set_faults(fault)
    chat.ask(LONG)
    expect(chat.line(re.compile(ended))).to_be_visible(timeout=PATIENCE_MS)
    chat.ready()
    partial = chat.last_answer()
    assert partial.startswith("There")
    space.new_day()
    left(space, 300)
    space.z.set_faults("queue-timeout@1")
    chat.go_on.click()
    expect(chat.answers.last).to_contain_text("All GPUs are busy", timeout=PATIENCE_MS)
    chat.ready()
    chat.go_on.click()
    expect(chat.root.get_by_text("All GPUs are busy")).to_be_hidden()
    expect(chat.line()).to_be_visible(timeout=PATIENCE_MS)
    chat.ready()
    assert chat.last_answer().startswith(partial.strip())
    assert len(chat.last_answer()) > len(partial)


@pytest.mark.parametrize(("prompt", "said"), [(" \n ", "Type a message first"), ("x" * 200_000, "200,000 characters")])
def test_what_cannot_be_asked_stays_where_it_was_typed(space, chat, prompt, said):
    before = len(space.z.calls)
    chat.box.fill(prompt)
    chat.root.locator(".submit-button").click()
    expect(chat.root.get_by_text(said)).to_be_visible()
    expect(chat.box).to_have_value(prompt)
    expect(chat.asked).to_have_count(0)
    assert len(space.z.calls) == before
    chat.box.fill("")


def test_markup_is_shown_and_never_run(space, chat):
    chat.page.evaluate("window.hacked = 0")
    chat.answered("<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'> Who are you? <b>bold</b>")
    expect(chat.asked.last).to_contain_text("Who are you?")
    assert chat.page.evaluate("window.hacked") == 0
    assert chat.root.locator(".message script").count() == 0


def test_undo_edit_clear_and_conversations_that_are_kept(space, visit):
    chat = visit()
    first = chat.answered("What is ZeroGPU?")
    second = chat.answered("Who are you?")
    chat.root.get_by_role("button", name="Undo").last.click()
    expect(chat.asked).to_have_text(["What is ZeroGPU?"])
    expect(chat.box).to_have_value("Who are you?")
    chat.root.get_by_role("button", name="Edit").first.click()
    field = chat.root.locator(".message textarea, .message [contenteditable=true]").first
    field.fill("Who are you?")
    chat.root.get_by_role("button", name="Submit").first.click()
    expect(chat.answers.last).to_contain_text(second[:20], timeout=PATIENCE_MS)
    chat.ready()
    expect(chat.asked).to_have_text(["Who are you?"])
    chat.root.get_by_role("button", name="New chat").click()
    expect(chat.asked).to_have_count(0)
    chat.answered("What is ZeroGPU?")
    chat.page.reload()
    expect(chat.bar).to_contain_text("left")
    chat.earlier("Who are you?").click()
    expect(chat.asked).to_have_text(["Who are you?"])
    expect(chat.answers.last).to_contain_text(second[:20])
    chat.earlier("What is ZeroGPU?").click()
    expect(chat.answers.last).to_contain_text(first[:20])
    chat.root.get_by_role("button", name="Clear").click()
    expect(chat.asked).to_have_count(0)
    expect(chat.earlier("What is ZeroGPU?")).to_have_count(0)


def test_continue_after_a_reload_and_settings(space, visit):
    chat = visit()
    unfold(chat.root.get_by_role("button", name="Settings").first)
    tokens = chat.root.get_by_role("spinbutton", name="Max new tokens")
    tokens.fill("4")
    tokens.press("Enter")
    expect(tokens).to_have_value("4")
    assert "hardware" not in chat.answered("What is ZeroGPU?")
    expect(chat.line()).to_contain_text("4 tokens")
    expect(chat.line()).to_contain_text("cut at the most tokens it may have")
    expect(chat.earlier("What is ZeroGPU?")).to_be_visible()
    chat.page.reload()
    expect(chat.bar).to_contain_text("left")
    expect(chat.go_on).to_be_hidden()
    chat.earlier("What is ZeroGPU?").click()
    chat.go_on.click()
    expect(chat.answers.last).to_contain_text("ZeroGPU is shared GPU hardware", timeout=PATIENCE_MS)
    chat.ready()


@pytest.mark.parametrize("fault", ["slow:0.2@1", "queue:30@1"])
def test_closing_the_tab_frees_the_gpu(space, visit, fault):
    chat = visit()
    space.z.set_faults(fault)
    chat.ask(LONG)
    expect(chat.line("Waiting for a GPU" if "queue" in fault else re.compile("Writing"))).to_be_visible()
    chat.page.close()
    until(lambda: space.z.leases == [] and not space.z._scheduler.queue)
    if "queue" in fault:
        assert space.last.outcome == "withdrawn"
    else:  # the whole story takes 50 s
        assert space.last.used_s < min(12, space.last.granted_s)


def test_two_visitors_do_not_mix(space, visit):
    ann, bob = visit(), visit()
    space.z.set_faults("slow:0.02")
    ann.ask("What is ZeroGPU?")
    bob.ask("Who are you?")
    expect(ann.answers.last).to_contain_text("ZeroGPU is shared", timeout=PATIENCE_MS)
    expect(bob.answers.last).to_contain_text("demonstration model", timeout=PATIENCE_MS)
    for chat, question in ((ann, "What is ZeroGPU?"), (bob, "Who are you?")):
        chat.ready()
        expect(chat.asked).to_have_text([question])
        expect(chat.answers).to_have_count(1)


def test_in_the_hubs_page_with_another_visitor(space, visit):
    chat = visit()
    chat.page.goto(space.app.page_url)
    chat.root = chat.page.frame_locator("#app")
    expect(chat.bar).to_contain_text("left")
    chat.page.get_by_label("Visitor").select_option("anonymous")
    expect(chat.bar).to_contain_text("2 min")
    assert "demonstration model" in chat.answered("Who are you?")
    assert space.last.visitor == "anonymous"


def test_with_the_keyboard_alone(space, visit):
    chat = visit()
    expect(chat.box).to_be_focused()
    for number in (1, 2):
        chat.page.keyboard.type("Who are you?")
        chat.page.keyboard.press("Enter")
        expect(chat.root.get_by_text(OVER)).to_have_count(number, timeout=PATIENCE_MS)
        chat.ready()
        expect(chat.box).to_be_focused()


def test_on_a_phone_in_the_dark(space, visit):
    chat = visit(f"{space.app.url}?__theme=dark", viewport={"width": 360, "height": 640})
    assert chat.page.locator("body").evaluate("body => body.classList.contains('dark')")

    def fits():
        return chat.page.evaluate("document.documentElement.scrollWidth") <= 360

    assert fits()
    chat.answered("How do I make a Space?")
    assert fits()
    space.z.set_faults("oom-always")
    chat.ask("x" * 300)
    expect(chat.answers.last).to_contain_text("Too large for the GPU", timeout=PATIENCE_MS)
    assert fits()
    chat.ready()
