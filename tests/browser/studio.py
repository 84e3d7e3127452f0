"""A visitor's image page in a browser."""

from __future__ import annotations

import base64
import io
import re

from chat_world import until
from folds import unfold
from PIL import Image
from playwright.sync_api import Page, expect

PROMPT = "a red circle on a white background"
OVER = re.compile(r"^\d pictures? · ")
PATIENCE_MS = 40_000
READY = ".zq:not([data-kind=waiting])"


class Studio:
    """A visitor's page."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        page.set_default_timeout(PATIENCE_MS)
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.goto(url)
        self.root = page.locator(".zi-page").first
        expect(self.root.locator(READY)).to_be_visible(timeout=PATIENCE_MS)

    @property
    def prompt(self):
        return self.root.get_by_label("Prompt", exact=True)

    @property
    def generate(self):
        return self.root.get_by_role("button", name="Generate", exact=True)

    @property
    def stop(self):
        return self.root.get_by_role("button", name=re.compile("^Stop"))

    @property
    def fit(self):
        return self.root.get_by_role("button", name=re.compile("(fits?|Nothing fits) your"))

    @property
    def status(self):
        return self.root.locator(".zi")

    @property
    def alert(self):
        return self.root.get_by_role("alert")

    @property
    def bar(self):
        return self.root.locator(".zq")

    @property
    def thumbnails(self):
        return self.root.locator(".zi-gallery .thumbnail-lg img")

    @property
    def large(self):
        return self.root.locator(".zi-gallery [data-testid=detailed-image]")

    @property
    def editor(self):
        return self.root.locator("[data-testid=image]").filter(has=self.page.locator("canvas"))

    @property
    def start(self):
        """The heading above the editor."""
        return self.root.locator(".zi-start").get_by_role("button", name=re.compile("picture|painted part")).first

    def tool(self, name: str):
        return self.root.locator(".zi-start").get_by_role("button", name=name)

    def price_s(self) -> int:
        """What the page says that the next click reserves."""
        said = re.search(r"about (\d+) s", self.bar.inner_text())
        return int(said[1]) if said else 0

    def number(self, name: str):
        return self.root.get_by_role("spinbutton", name=re.compile(name))

    def set(self, name: str, value: object) -> None:
        self.number(name).fill(str(value))
        self.number(name).press("Tab")

    def fold(self, name: str):
        return self.root.get_by_role("button", name=re.compile(f"^{name}"))

    def open(self, name: str) -> None:
        unfold(self.fold(name))

    def over(self) -> None:
        expect(self.generate).to_be_visible(timeout=PATIENCE_MS)
        expect(self.stop).to_be_hidden()

    def paint(self, prompt: str = PROMPT) -> None:
        """Ask, and wait for new pictures."""
        before = self.newest()
        self.prompt.fill(prompt)
        self.generate.click()
        until(lambda: self.newest() != before, PATIENCE_MS / 1000)
        self.over()
        expect(self.alert).to_have_count(0)

    def newest(self) -> str | None:
        return self.thumbnails.first.get_attribute("src") if self.thumbnails.count() else None

    def files(self) -> list[bytes]:
        """The pictures of the gallery, newest first, as a visitor downloads them."""
        sources = self.thumbnails.evaluate_all("images => images.map(image => image.src)")
        return [self.page.request.get(source).body() for source in sources]

    def pictures(self) -> list[Image.Image]:
        return [opened(file) for file in self.files()]

    def drop(self, file: bytes, on: str = "h1") -> None:
        """Drop a file as the desktop does."""
        transfer = self.page.evaluate_handle(
            """data => {
              const transfer = new DataTransfer();
              const bytes = Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0));
              transfer.items.add(new File([bytes], "picture.png", {type: "image/png"}));
              return transfer;
            }""",
            base64.b64encode(file).decode(),
        )
        self.page.locator(on).first.dispatch_event("drop", {"dataTransfer": transfer})

    def start_from(self, file: bytes) -> None:
        self.open("Start from a picture")
        # Until its canvas is drawn the editor loses what it is given.
        expect(self.root.locator(".zi-start canvas").first).to_be_visible(timeout=PATIENCE_MS)
        self.root.locator(".zi-start input[type=file]").set_input_files(
            {"name": "start.png", "mimeType": "image/png", "buffer": file}
        )
        expect(self.start).to_contain_text("Starting from a picture", timeout=PATIENCE_MS)

    def brush(self) -> None:
        """Paint over the middle of the picture in the editor, as fast as a hand."""
        canvas = self.root.locator(".zi-start canvas").first
        canvas.scroll_into_view_if_needed()
        expect(self.root.locator(".zi-start").get_by_role("button", name="Brush Size")).to_be_visible()
        box = canvas.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        mouse = self.page.mouse
        mouse.move(x - 20, y)
        mouse.down()
        for step in range(12):
            mouse.move(x - 20 + 3 * step, y)
            self.page.wait_for_timeout(40)
        mouse.up()


def opened(file: bytes) -> Image.Image:
    return Image.open(io.BytesIO(file)).convert("RGB")


def png(colour: str, size: tuple[int, int] = (32, 32)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()
