"""`make screenshots`: take the pictures in docs/images from the demo, on the local ZeroGPU."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from zerokit.cli import demos
from zerokit.emulator import ZeroGPU
from zerokit.quota import hub

IMAGES = Path(__file__).parent / "images"
DEMO = Path(demos.__file__).with_name("chat.py")
CHROMIUM = Path("/usr/bin/chromium")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
DESKTOP, PHONE = (1100, 900), (360, 740)
VISITOR = "free"
ANSWER_MS = 60_000


def main() -> None:
    app = Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO
    IMAGES.mkdir(exist_ok=True)
    with chromium() as browser, ZeroGPU(VISITOR) as zero:
        url = zero.run(app, env={"ZEROKIT_HOME": "off"}).url
        with page(browser, url, DESKTOP) as chat:
            ask(chat, "What is ZeroGPU?")
            ask(chat, "What does ZeroKit do?")
            shoot(chat, "chat-light")
        with page(browser, f"{url}?__theme=dark", DESKTOP) as chat:
            ask(chat, "What is ZeroGPU?")
            shoot(chat, "chat-dark")
        with page(browser, url, PHONE) as chat:
            ask(chat, "What is ZeroGPU?")
            shoot(chat, "chat-phone")
        zero.set_left(VISITOR, 1)
        time.sleep(hub.KNOWN_FOR_S + 1)  # until the app asks the Hub again
        with page(browser, url, DESKTOP) as chat:
            expect(chat.locator(".zq[data-kind=low]")).to_be_visible(timeout=ANSWER_MS)
            shoot(chat, "meter-low", ".zq")
            ask(chat, "Tell me a story about a GPU")
            shoot(chat, "error")


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        path = str(CHROMIUM) if CHROMIUM.exists() else None
        browser = playwright.chromium.launch(executable_path=path, args=[*QUIET, "--disable-sync"])
        yield browser
        browser.close()


@contextmanager
def page(browser: Browser, url: str, size: tuple[int, int]) -> Iterator[Page]:
    """A visitor's first look at the demo; the numbers are there."""
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height}, device_scale_factor=2)
    opened = context.new_page()
    opened.goto(url)
    expect(opened.locator(".zq:not([data-kind=waiting])")).to_be_visible(timeout=ANSWER_MS)
    yield opened
    context.close()


def ask(chat: Page, question: str) -> None:
    """Ask, and return when the answer and its price are there."""
    answers = chat.locator(".message.bot")
    before = answers.count()
    chat.get_by_role("textbox").first.fill(question)
    chat.keyboard.press("Enter")
    expect(answers).not_to_have_count(before, timeout=ANSWER_MS)
    chat.wait_for_timeout(1000)  # the page may show an answer a moment before it shows Stop
    expect(chat.locator("button.stop-button")).to_be_hidden(timeout=ANSWER_MS)
    chat.wait_for_timeout(1500)  # the bar moves


def shoot(chat: Page, name: str, selector: str | None = None) -> None:
    path = IMAGES / f"{name}.png"
    if selector is None:
        chat.screenshot(path=path)
    else:
        chat.locator(selector).screenshot(path=path)
    print(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


if __name__ == "__main__":
    main()
