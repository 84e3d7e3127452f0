"""HTML and script in every text that reaches the page: nothing runs, and no request leaves the page."""

import json
import sys
from pathlib import Path
from urllib.parse import urlencode

import pytest
from PIL import Image
from playwright.sync_api import expect

sys.path.append(str(Path(__file__).parents[1] / "emulator"))

from chat_world import until, world
from folds import unfold
from studio import PATIENCE_MS, Studio
from test_lora import Lora
from tiny_adapters import save as save_text_adapter

from zerokit.pictures.record import Record, write_png

import tiny_image  # found where chat_world looks for it  # isort: skip
import tiny_image_adapters  # isort: skip
import tiny_text  # isort: skip

pytestmark = pytest.mark.timeout(600)  # the first test waits for a Space with two models
HERE = Path(__file__).parent
ELSEWHERE = "http://elsewhere.example"
RUN = "window.hacked=1"
OF_GRADIO = ("https://fonts.googleapis.com/", "https://fonts.gstatic.com/", "https://huggingface.co/api/spaces/")
HOSTILE = (
    f'<script>{RUN}</script><img src="{ELSEWHERE}/i" onerror="{RUN}"><svg onload="{RUN}"></svg>'
    f'<iframe srcdoc="<script>parent.{RUN}</script>"></iframe><details open ontoggle="{RUN}">x</details>'
    f'<a href="javascript:{RUN}">a</a> [b](javascript:{RUN}) ![c]({ELSEWHERE}/m) "\'-->`'
)
NAME = f"x\" autofocus onfocus='{RUN}' &quot;"
"""A name may hold no < and >: it is told to the author at the start."""
FILE = f'<img src=x onerror="{RUN}">.safetensors'
CONTEXT = 4096


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    tokens = tiny_text.tokenizer(context=CONTEXT)
    model = tiny_text.random_model(tokens, max_position_embeddings=CONTEXT)
    folders = {
        "chat": tiny_text.save(folder / "chat", tokens, model),
        "chat-adapter": save_text_adapter(folder / "text", model),
        "image": tiny_image.make("stable-diffusion", folder / "image"),
        "image-adapter": tiny_image_adapters.save(folder / "ink"),
    }
    env = {
        "HOSTILE_TEXT": HOSTILE,
        "HOSTILE_NAME": NAME,
        "HOSTILE_FOLDERS": json.dumps({name: str(path) for name, path in folders.items()}),
        "HOSTILE_ECHO": str(HERE.parent / "soak"),
    }
    with world(HERE / "apps" / "hostile.py", env=env) as space:
        yield space


@pytest.fixture
def page(space, browser):
    """A page in which nothing runs that a text brought."""
    space.new_day()
    context = browser.new_context(locale="en-GB", timezone_id="UTC", viewport={"width": 1200, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    yield page
    page.wait_for_timeout(300)  # for what runs a moment later
    ran = [frame.url for frame in page.frames if frame.evaluate("window.hacked") is not None]
    context.close()
    assert ran + dialogs == []
    until(lambda: space.z.leases == [])


@pytest.fixture
def quiet(space, page):
    """The page, of which no request goes elsewhere; Gradio's own fetches fonts and the Space's entry on the Hub."""
    asked: list[str] = []
    page.context.on("request", lambda request: asked.append(request.url))
    yield page
    page.wait_for_timeout(300)
    assert {url for url in asked if not url.startswith((space.app.url, "data:", "blob:", *OF_GRADIO))} == set()


def test_in_a_conversation_its_adapters_and_its_errors(space, quiet, tmp_path):
    page, chat = quiet, Lora.__new__(Lora)
    chat.page = page
    page.goto(space.app.url)
    chat.root = page.get_by_role("tabpanel").first
    expect(chat.bar).to_contain_text("left", timeout=PATIENCE_MS)
    expect(chat.root.locator(".zl-card")).to_contain_text(NAME)
    chat.root.locator(".zl-card").click()
    expect(chat.root.locator(".zl-card")).to_have_attribute("aria-pressed", "true")
    chat.answered(HOSTILE)
    expect(chat.asked.last).to_contain_text("window.hacked")
    expect(chat.answers.last).to_contain_text("window.hacked")
    chat.compare.click()
    expect(chat.columns).to_have_count(2, timeout=PATIENCE_MS)
    chat.open_own()
    chat.root.get_by_label("On the Hub").fill(HOSTILE[:300])
    chat.root.get_by_role("button", name="Check and add").click()
    expect(chat.root.get_by_role("alert").last).to_contain_text("is no repository", timeout=PATIENCE_MS)
    file = tmp_path / FILE
    file.write_bytes(b"<script>")
    chat.root.locator("input[type=file]").first.set_input_files(file)
    expect(chat.root.locator(".file-preview").first).to_contain_text("img", timeout=PATIENCE_MS)
    chat.root.get_by_role("button", name="Check and add").click()
    expect(chat.root.get_by_role("alert").last).to_contain_text("safetensors", timeout=PATIENCE_MS)
    page.reload()
    unfold(chat.root.get_by_role("button", name="Earlier chats"))
    expect(chat.root.get_by_role("gridcell")).to_contain_text("script", timeout=PATIENCE_MS)
    chat.root.get_by_role("gridcell").click()
    expect(chat.answers.last).to_contain_text("window.hacked", timeout=PATIENCE_MS)


def test_in_links_pictures_captions_and_records(space, quiet, tmp_path):
    page = quiet
    odd = {"prompt": HOSTILE, "negative_prompt": HOSTILE, "scheduler": HOSTILE, "adapters": json.dumps({HOSTILE: 1})}
    page.goto(f"{space.app.url}?{urlencode(odd)}")
    page.get_by_role("tab", name="Images").click()
    studio = Studio.__new__(Studio)
    studio.page, studio.root = page, page.locator(".zi-page:visible")
    expect(studio.prompt).to_have_value(HOSTILE)
    expect(studio.status).to_contain_text("The settings of that link", timeout=PATIENCE_MS)
    studio.root.locator(".zl-card").click()
    studio.paint("a circle")
    studio.root.get_by_role("button", name="Compare").first.click()
    expect(studio.root.locator(".zi-gallery .caption-label").first).to_contain_text("Seed", timeout=PATIENCE_MS)
    studio.over()
    file = tmp_path / "made.png"
    record = Record(prompt=HOSTILE, negative_prompt=HOSTILE, model=HOSTILE[:100], scheduler=HOSTILE[:60], mode="image")
    write_png(Image.new("RGB", (32, 32), "red"), record, file)
    studio.drop(file.read_bytes(), on=".zi-page:visible")
    expect(studio.status).to_contain_text("It was made with", timeout=PATIENCE_MS)


def test_in_an_error_of_a_function_of_the_authors(space, page):
    page.goto(space.app.url)
    page.get_by_role("tab", name="Fails").click()
    page.get_by_label("Say").fill(HOSTILE)
    page.get_by_role("button", name="Fail").click()
    expect(page.get_by_test_id("toast-body")).to_be_visible(timeout=PATIENCE_MS)
