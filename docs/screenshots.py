"""`make screenshots`: take the pictures in docs/images from the demos, on the local ZeroGPU.

`python docs/screenshots.py chat`, `diffusion`, `lora_text` or `lora_image` takes those of one demo.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gradio_client import Client
from gradio_client.exceptions import AppError
from playwright.sync_api import Browser, Page, expect, sync_playwright

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import chromium

from zerokit.cli import demos
from zerokit.emulator import ZeroGPU
from zerokit.quota import hub

IMAGES = Path(__file__).parent / "images"
DESKTOP, TALL, PHONE = (1100, 900), (1100, 1250), (360, 740)
VISITOR = "free"
ANSWER_MS = 60_000
START_S = 300.0


def main() -> None:
    wanted = sys.argv[1:] or list(SHOTS)
    IMAGES.mkdir(exist_ok=True)
    with browsing() as browser:
        for demo in wanted:
            with ZeroGPU(VISITOR) as zero:
                app = Path(demos.__file__).with_name(f"{demo}.py")
                url = zero.run(app, env={"ZEROKIT_HOME": "off"}, timeout_s=START_S).url
                SHOTS[demo](browser, zero, url)


def shoot_chat(browser: Browser, zero: ZeroGPU, url: str) -> None:
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
    leave(zero, 1)
    with page(browser, url, DESKTOP) as chat:
        expect(chat.locator(".zq[data-kind=low]")).to_be_visible(timeout=ANSWER_MS)
        shoot(chat, "meter-low", ".zq")
        ask(chat, "Tell me a story about a GPU")
        shoot(chat, "error")


def shoot_images(browser: Browser, zero: ZeroGPU, url: str) -> None:
    learn(zero, url)
    with page(browser, url, DESKTOP) as studio:
        paint(studio, "a red circle on a white background")
        paint(studio, "a blue square on a yellow background")
        shoot(studio, "image-light")
        zero.set_faults("slow:0.1")
        studio.get_by_role("button", name="Generate").click()
        expect(studio.locator(".zi")).to_contain_text(re.compile("step [2-9]"), timeout=ANSWER_MS)
        shoot(studio, "image-stop")
    zero.set_faults()
    with page(browser, f"{url}?__theme=dark", DESKTOP) as studio:
        paint(studio, "a green star on a black background")
        shoot(studio, "image-dark")
    with page(browser, url, PHONE) as studio:
        paint(studio, "a yellow circle on a blue background")
        shoot(studio, "image-phone")
    with page(browser, url, TALL) as studio:
        paint(studio, "a red circle on a white background")
        paint_over(studio)
        paint(studio, "a green square on a white background")
        shoot(studio, "image-inpaint")
    zero.advance(24 * 3600)
    with page(browser, url, DESKTOP) as studio:
        number(studio, "Pictures", 4)
        paint(studio, "a purple triangle on a white background")
        shoot(studio, "image-four")
    zero.advance(24 * 3600)
    with page(browser, url, DESKTOP) as studio:
        paint(studio, "a blue circle on a white background")
        zero.set_faults("oom-always")
        studio.get_by_role("button", name="Generate").click()
        expect(studio.get_by_role("alert")).to_be_visible(timeout=ANSWER_MS)
        expect(studio.get_by_role("button", name="Generate")).to_be_visible(timeout=ANSWER_MS)
        shoot(studio, "image-error")
    zero.set_faults()
    zero.advance(24 * 3600)
    with page(browser, url, DESKTOP) as studio:
        number(studio, "Pictures", 8)
        said = re.compile(r"about (\d+) s")
        expect(studio.locator(".zq")).to_contain_text(said, timeout=ANSWER_MS)
        match = said.search(studio.locator(".zq").inner_text())
        assert match is not None
    leave(zero, max(2, int(match[1]) // 2))
    with page(browser, url, DESKTOP) as studio:
        number(studio, "Pictures", 8)
        expect(studio.get_by_role("button", name="use that")).to_be_visible(timeout=ANSWER_MS)
        shoot(studio, "image-fit", ".zi-ask")


def shoot_lora_text(browser: Browser, zero: ZeroGPU, url: str) -> None:
    for name, at, size in (("light", url, DESKTOP), ("dark", f"{url}?__theme=dark", DESKTOP), ("phone", url, PHONE)):
        with page(browser, at, size) as chat:
            pick(chat, "pirate")
            ask(chat, "What is ZeroGPU?")
            if name != "phone":
                pick(chat, "terse")
                compare(chat)
            shoot(chat, f"lora-text-{name}")
        zero.advance(24 * 3600)


def pick(studio: Page, name: str) -> None:
    """Pick an adapter, and return when its price is there."""
    studio.locator(".zl").get_by_role("button", name=name, exact=True).click()
    expect(studio.locator(f".zl-card[title='{name}']")).to_have_attribute("aria-pressed", "true")
    studio.wait_for_timeout(1500)


def compare(studio: Page) -> None:
    """Compare, and return when the answers and the next price are there."""
    studio.get_by_role("button", name=re.compile("^Compare")).click()
    expect(studio.locator(".zs-one").first).to_be_visible(timeout=ANSWER_MS)
    studio.mouse.move(0, 0)
    studio.wait_for_timeout(2500)  # the bar moves


def shoot_lora_image(browser: Browser, zero: ZeroGPU, url: str) -> None:
    learn(zero, url)
    for name, at, size in (("light", url, DESKTOP), ("dark", f"{url}?__theme=dark", DESKTOP), ("phone", url, PHONE)):
        with page(browser, at, size) as studio:
            studio.locator(".zl-card").filter(has_text="outline").click()
            paint(studio, "a red circle on a white background")
            shoot(studio, f"lora-image-{name}")
    zero.advance(24 * 3600)
    with page(browser, url, DESKTOP) as studio:
        for adapter in ("outline", "pastel"):
            studio.locator(".zl-card").filter(has_text=adapter).click()
        studio.get_by_label("Prompt", exact=True).fill("a red circle on a white background")
        compare = studio.get_by_role("button", name=re.compile("^Compare 3"))
        expect(compare).to_be_enabled(timeout=ANSWER_MS)
        compare.click()
        expect(studio.locator(".zi")).to_contain_text("3 pictures", timeout=ANSWER_MS)
        expect(studio.get_by_role("button", name="Generate")).to_be_visible(timeout=ANSWER_MS)
        studio.wait_for_timeout(2000)  # the bar moves
        shoot(studio, "lora-image-compare")


def learn(zero: ZeroGPU, url: str) -> None:
    """What pictures take on this machine, which is no H200, so that nothing is cut short later."""
    client = Client(url, verbose=False, analytics_enabled=False)
    zero.set_faults("slow:0.1")
    for steps, images in ((150, 1), (100, 1), (40, 4)):
        with suppress(AppError):
            client.predict("a red circle", steps=steps, images=images, api_name="/generate")
    client.close()
    zero.set_faults()
    zero.advance(24 * 3600)


def leave(zero: ZeroGPU, seconds: float) -> None:
    zero.set_left(VISITOR, seconds)
    time.sleep(hub.KNOWN_FOR_S + 1)  # until the app asks the Hub again


def number(studio: Page, name: str, value: int) -> None:
    field = studio.get_by_role("spinbutton", name=name)
    field.fill(str(value))
    field.press("Tab")
    studio.wait_for_timeout(1000)


def paint(studio: Page, prompt: str) -> None:
    """Ask, and return when the picture is there."""
    first = studio.locator(".zi-gallery .thumbnail-item img").first
    before = first.get_attribute("src") if first.count() else ""
    studio.get_by_label("Prompt", exact=True).fill(prompt)
    studio.get_by_role("button", name="Generate").click()
    expect(first).not_to_have_attribute("src", before or "", timeout=ANSWER_MS)
    expect(studio.get_by_role("button", name="Generate")).to_be_visible(timeout=ANSWER_MS)
    studio.mouse.move(0, 0)
    studio.wait_for_timeout(2000)  # the bar moves


def paint_over(studio: Page) -> None:
    """Take the picture into the editor and paint over its middle."""
    studio.get_by_role("button", name="Change this picture").click()
    expect(studio.get_by_role("button", name="Brush Size")).to_be_visible(timeout=ANSWER_MS)
    studio.wait_for_timeout(2000)
    box = studio.locator(".zi-start canvas").first.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    studio.mouse.move(x - 60, y - 60)
    studio.mouse.down()
    for line in range(-60, 61, 15):
        for across in (-60, 0, 60, -60):
            studio.mouse.move(x + across, y + line, steps=4)
            studio.wait_for_timeout(30)
    studio.mouse.up()
    studio.wait_for_timeout(2000)  # the editor sends its layers when it likes


@contextmanager
def browsing() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.executable(), args=chromium.ARGS)
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
    chat.locator("[id^=zerokit-ask] textarea").fill(question)
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


SHOTS = {"chat": shoot_chat, "diffusion": shoot_images, "lora_text": shoot_lora_text, "lora_image": shoot_lora_image}

if __name__ == "__main__":
    main()
