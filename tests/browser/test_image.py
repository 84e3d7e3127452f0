"""ZeroDiffusion's page in a browser, with the real worker behind it: pictures, Stop, settings, errors, leaving."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest
from PIL import Image, ImageChops
from playwright.sync_api import expect

sys.path.append(str(Path(__file__).parents[1] / "emulator"))

from chat_world import HERE, until, world
from studio import OVER, PATIENCE_MS, PROMPT, READY, Studio, opened, png

from zerokit.pictures.record import read_png
from zerokit.quota import hub

import tiny_image  # found where chat_world looks for it  # isort: skip

APPS = HERE / "image_apps"
STEPS = 20
HOSTILE = "<img src=x onerror='window.hacked = 1'>"


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    """The small model; what steps take on this machine is learned before anybody asks for a picture."""
    model = tiny_image.make("stable-diffusion", tmp_path_factory.mktemp("model"))
    with world(APPS / "image.py", env={"IMAGE_MODEL": str(model), "IMAGE_STEPS": str(STEPS)}) as space:
        space.z.set_faults("slow:0.1")
        for steps in (150, STEPS):
            paint(space, steps=steps)
        yield space


def paint(space, **settings):
    return space.client().predict(PROMPT, api_name="/generate", **settings)


@pytest.fixture
def visit(space, visitors):
    """Opens pages, each of a visitor with a browser of their own; nothing is left when they are gone."""
    space.new_day()
    studios = []

    def open_page(query="", **context):
        studios.append(Studio(visitors.page(**context), space.app.url + query))
        return studios[-1]

    yield open_page
    visitors.leave()
    space.new_day()
    space.settle()
    assert [studio.problems for studio in studios if studio.problems] == []


# The first of all: what the tests below let the app learn of slow steps makes every price the same.
def test_what_fits_is_offered_below_the_button(space, visit):
    studio = visit()
    studio.open("Settings")
    studio.page.wait_for_timeout((hub.KNOWN_FOR_S + 1) * 1000)  # from here on no worker is expected to be there
    studio.set("Steps", STEPS - 1)
    studio.page.wait_for_timeout(2000)  # for its price
    left = int(re.search(r"about (\d+) s", studio.bar.inner_text())[1]) + 1
    space.z.set_left("free", left)
    studio.page.wait_for_timeout((hub.KNOWN_FOR_S + 1) * 1000)  # until the app asks the Hub again
    studio.set("Steps", 100)
    expect(studio.fit).to_have_text(re.compile(rf"^\s*\d+ steps fit your {left} s: use that\s*$"), timeout=PATIENCE_MS)
    steps = studio.fit.inner_text().split()[0]
    studio.fit.click()
    expect(studio.number("Steps")).to_have_value(steps)
    expect(studio.fit).to_be_hidden()
    studio.paint()
    assert read_png(studio.files()[0]).steps == int(steps)
    space.new_day()
    studio.page.wait_for_timeout((hub.KNOWN_FOR_S + 1) * 1000)  # else the app still believes it in the next test


def test_a_picture_large_then_four_at_once_and_those_of_before(space, visit):
    studio = visit(viewport={"width": 1100, "height": 900})
    expect(studio.root.get_by_role("button", name="Change this picture")).to_be_disabled()
    calls = len(space.z.calls)
    studio.root.get_by_role("gridcell", name=PROMPT).or_(studio.root.get_by_role("button", name=PROMPT)).click()
    expect(studio.prompt).to_have_value(PROMPT)
    studio.prompt.press("Enter")
    studio.prompt.press("Enter")
    expect(studio.status).to_contain_text(OVER, timeout=PATIENCE_MS)
    studio.over()
    expect(studio.large).to_be_visible()
    expect(studio.prompt).to_be_focused()
    first = studio.files()
    seed = studio.root.get_by_label("Seed", exact=True)
    studio.open("Settings")
    assert read_png(first[0]).seed == int(seed.input_value())
    assert len(space.z.calls) == calls + 1
    runs = space.last.runs_left
    studio.set("Pictures", 4)
    studio.paint()
    assert space.last.runs_left == runs - 1
    expect(studio.thumbnails).to_have_count(5)
    expect(studio.large).to_be_hidden()
    files = studio.files()
    assert files[4:] == first
    made = [read_png(file) for file in files[:4]]
    assert [one.seed for one in made] == list(range(made[0].seed, made[0].seed + 4))
    assert made[0].seed == int(seed.input_value()) != read_png(first[0]).seed
    assert made[0].steps == STEPS


def test_progress_does_not_move_the_page_and_stop_keeps_what_there_is(space, visit):
    studio = visit(viewport={"width": 1100, "height": 900})
    space.z.set_faults("slow:0.1")
    paint(space, steps=STEPS)  # so that enough is reserved for slow steps
    gallery = studio.root.locator(".zi-gallery")
    before = gallery.bounding_box(), studio.generate.bounding_box()
    studio.prompt.fill(PROMPT)
    studio.prompt.press("Control+Enter")
    expect(studio.status).to_contain_text(re.compile("Waiting for a GPU|Waking the GPU|Asking|Reading|Painting"))
    expect(studio.status).to_contain_text(re.compile(rf"step (9|1\d) of {STEPS} · about \d+ s left"))
    expect(studio.root.get_by_role("progressbar", name=re.compile("Painting"))).to_be_visible()
    assert (gallery.bounding_box(), studio.stop.bounding_box()) == before
    studio.stop.click()
    expect(studio.status).to_contain_text("stopped by you", timeout=PATIENCE_MS)
    studio.over()
    assert gallery.bounding_box() == before[0]
    until(lambda: space.z.leases == [])
    expect(studio.large).to_be_visible()
    assert read_png(studio.files()[0]).steps_made < STEPS
    space.z.set_faults("queue:30@1")
    studio.generate.click()
    expect(studio.status).to_contain_text("Waiting for a GPU")
    studio.stop.dblclick()
    expect(studio.status).to_contain_text("Stopped before there was a picture.", timeout=PATIENCE_MS)
    studio.over()
    assert len(studio.files()) == 1
    until(lambda: not space.z._scheduler.queue)


FAULTS = {
    "runs": ("No runs left today", "Come back when your runs do"),
    "queue-timeout": ("All GPUs are busy", "No GPU came free within 60 s"),
    "oom-always": ("Too large for the GPU", "2.50 GiB"),
    "kill:0": ("The GPU call was interrupted", "Please try again"),
}


def test_errors_are_cards_and_everything_is_kept(space, visit):
    studio = visit()
    studio.open("Settings")
    studio.root.get_by_label("Negative prompt").fill("blue")
    studio.paint()
    made = studio.files()
    for fault, (title, words) in FAULTS.items():
        space.z.set_faults(fault)
        studio.generate.click()
        expect(studio.alert).to_contain_text(title, timeout=PATIENCE_MS)
        expect(studio.alert).to_contain_text(words)
        studio.over()
        expect(studio.prompt).to_have_value(PROMPT)
        expect(studio.root.get_by_label("Negative prompt")).to_have_value("blue")
        assert studio.files() == made
        space.z.set_faults()
        space.new_day()
    calls = len(space.z.calls)
    studio.prompt.fill("  ")
    studio.generate.click()
    expect(studio.alert).to_contain_text("prompt")
    studio.over()
    assert len(space.z.calls) == calls
    studio.page.evaluate("window.hacked = 0")
    studio.paint(HOSTILE)
    assert studio.page.evaluate("window.hacked") == 0
    assert len(studio.files()) == 2


def test_a_click_that_does_not_reach_the_server_can_be_repeated(space, visit):
    studio = visit()
    studio.prompt.fill(PROMPT)
    studio.page.route("**/queue/join*", lambda route: route.fulfill(status=500, json={"detail": "no"}), times=1)
    studio.generate.click()
    studio.over()
    studio.paint()
    studio.prompt.press("Enter")
    expect(studio.thumbnails).to_have_count(2, timeout=PATIENCE_MS)
    studio.over()


def test_a_dropped_picture_brings_its_settings_back(space, visit):
    studio = visit()
    studio.open("Settings")
    studio.set("Steps", 7)
    studio.set("Guidance", 3.5)
    studio.root.get_by_label("Negative prompt").fill("blue")
    studio.paint("a green star")
    file = studio.files()[0]
    other = visit()
    other.prompt.fill("something else")
    other.drop(file)
    expect(other.status).to_contain_text("The settings of that picture are back.", timeout=PATIENCE_MS)
    expect(other.prompt).to_have_value("a green star")
    other.open("Settings")
    expect(other.root.get_by_label("Negative prompt")).to_have_value("blue")
    expect(other.number("Steps")).to_have_value("7")
    expect(other.number("Guidance")).to_have_value("3.5")
    expect(other.root.get_by_label("Another seed each time")).not_to_be_checked()
    other.generate.click()
    expect(other.status).to_contain_text(OVER, timeout=PATIENCE_MS)
    other.over()
    assert other.pictures()[0].tobytes() == studio.pictures()[0].tobytes()
    other.drop(png("red"))
    expect(other.alert).to_contain_text("carries no settings", timeout=PATIENCE_MS)
    expect(other.prompt).to_have_value("a green star")


def test_a_link_carries_the_settings_and_nothing_else(space, visit):
    studio = visit(permissions=["clipboard-read", "clipboard-write"])
    studio.open("Settings")
    studio.set("Steps", 9)
    studio.prompt.fill("a blue square & more")
    studio.root.get_by_role("button", name="Copy a link").click()
    expect(studio.root.get_by_role("button", name="Link copied")).to_be_visible()
    link = studio.page.evaluate("navigator.clipboard.readText()")
    expect(studio.root.get_by_role("button", name="Copy a link")).to_be_visible()
    other = visit(link.removeprefix(space.app.url))
    expect(other.prompt).to_have_value("a blue square & more", timeout=PATIENCE_MS)
    other.open("Settings")
    expect(other.number("Steps")).to_have_value("9")
    odd = {"prompt": HOSTILE, "steps": "1e9", "width": "-1", "seed": "x", "guidance": "nan", "scheduler": HOSTILE}
    third = visit("?" + urlencode(odd))
    expect(third.prompt).to_have_value(HOSTILE, timeout=PATIENCE_MS)
    third.open("Settings")
    expect(third.number("Steps")).to_have_value(str(STEPS))
    assert third.page.evaluate("window.hacked") is None


def test_from_a_picture_and_in_a_part_of_it(space, visit):
    studio = visit(viewport={"width": 1100, "height": 1200})
    compare = studio.root.locator(".zi-compare")
    studio.start_from(png("white"))
    expect(compare).to_be_hidden()
    studio.paint()
    expect(compare).to_be_visible()
    assert read_png(studio.files()[0]).mode == "image"
    studio.brush()
    studio.paint()
    file = studio.files()[0]
    assert read_png(file).mode == "inpaint"
    changed = ImageChops.difference(opened(file), Image.new("RGB", (32, 32), "white")).getbbox()
    assert changed is not None
    left, top, right, bottom = changed
    assert 4 < top < bottom < 28  # a stroke through the middle
    assert right - left > 4
    studio.root.get_by_role("button", name="Change this picture").click()
    expect(studio.start).to_have_text(re.compile("Starting from a picture · 32 × 32"), timeout=PATIENCE_MS)
    studio.paint()
    assert read_png(studio.files()[0]).mode == "image"


def test_heading_and_price_follow_the_editor(space, visit):
    studio = visit(viewport={"width": 1100, "height": 1200})
    expect(studio.bar).to_contain_text(re.compile(r"Next run: about \d+ s"))
    few_s = studio.price_s()
    studio.open("Settings")
    studio.set("Steps", 100)
    until(lambda: studio.price_s() > few_s, PATIENCE_MS / 1000)
    plain_s = studio.price_s()

    def follows(heading: str, price: Callable[[int], bool]) -> None:
        expect(studio.start).to_have_text(re.compile(heading), timeout=PATIENCE_MS)
        until(lambda: price(studio.price_s()), PATIENCE_MS / 1000)

    studio.start_from(png("white"))
    follows("Starting from a picture · 32 × 32", lambda price_s: 0 < price_s < plain_s)  # 60 of the 100 steps
    picture_s = studio.price_s()
    studio.brush()
    follows("Changing the painted part · 32 × 32", lambda price_s: price_s == picture_s)  # as many steps
    studio.tool("Undo").click()
    follows("Starting from a picture · 32 × 32", lambda price_s: price_s == picture_s)
    studio.tool("Redo").click()
    follows("Changing the painted part · 32 × 32", lambda price_s: price_s == picture_s)
    studio.tool("Clear canvas").click()
    follows("Start from a picture", lambda price_s: price_s == plain_s)
    studio.set("Steps", STEPS)
    studio.paint()
    assert read_png(studio.files()[0]).mode == "text"
    studio.root.get_by_role("button", name="Change this picture").click()
    follows("Starting from a picture · 32 × 32", lambda price_s: price_s > 0)
    studio.drop(studio.files()[0])
    follows("Start from a picture", lambda price_s: price_s > 0)


def test_gradios_run_history_brings_a_run_back(space, visit):
    studio = visit(viewport={"width": 1100, "height": 900})
    studio.open("Settings")
    studio.set("Steps", 7)
    studio.paint("a green star")
    made = studio.files()
    studio.paint("two blue squares")
    expect(studio.thumbnails).to_have_count(2)
    studio.page.goto(f"{space.app.url}/gradio_api/runs")
    runs = studio.page.get_by_test_id("run-history")
    expect(runs.get_by_role("heading", name="Run history (2)")).to_be_visible()
    expect(runs).not_to_contain_text(re.compile("runs? left|quota", re.IGNORECASE))
    runs.get_by_role("button", name="Load").last.click()
    expect(studio.root.locator(READY)).to_be_visible(timeout=PATIENCE_MS)
    expect(studio.prompt).to_have_value("a green star")
    expect(studio.thumbnails).to_have_count(1)
    assert studio.files() == made
    expect(studio.status).to_contain_text(OVER)
    studio.over()
    expect(studio.generate).to_have_text("Generate")
    expect(studio.root.get_by_role("button", name="Change this picture")).to_be_enabled()
    studio.open("Settings")
    expect(studio.number("Steps")).to_have_value("7")
    expect(studio.root.get_by_label("Seed", exact=True)).to_have_value(str(read_png(made[0]).seed))
    expect(studio.bar).to_contain_text("6 runs left")  # after the second run, not the first
    studio.root.get_by_label("Another seed each time").uncheck()
    studio.paint("a green star")
    expect(studio.thumbnails).to_have_count(2)
    again, before = studio.pictures()
    assert again.tobytes() == before.tobytes() == opened(made[0]).tobytes()


def test_a_run_from_a_picture_comes_back_with_it(space, visit):
    studio = visit(viewport={"width": 1100, "height": 1200})
    studio.start_from(png("white"))
    studio.paint()
    studio.page.goto(f"{space.app.url}/gradio_api/runs")
    studio.page.get_by_test_id("run-history").get_by_role("button", name="Load").click()
    expect(studio.start).to_have_text(re.compile("Starting from a picture · 32 × 32"), timeout=PATIENCE_MS)
    studio.paint()
    assert [read_png(file).mode for file in studio.files()] == ["image", "image"]


def test_two_visitors_do_not_mix(space, visit):
    ann, bob = visit(), visit()
    for studio, words in ((ann, "a red circle"), (bob, "two blue squares")):
        studio.prompt.fill(words)
        studio.generate.click()
    for studio, words in ((ann, "a red circle"), (bob, "two blue squares")):
        expect(studio.status).to_contain_text(OVER, timeout=PATIENCE_MS)
        studio.over()
        assert [read_png(file).prompt for file in studio.files()] == [words]
        expect(studio.prompt).to_have_value(words)


@pytest.mark.parametrize("fault", ["slow:0.2@1", "queue:30@1"])
def test_closing_the_tab_frees_the_gpu(space, visit, fault):
    studio = visit()
    space.z.set_faults(fault)
    studio.prompt.fill(PROMPT)
    studio.generate.click()
    expect(studio.status).to_contain_text("Waiting for a GPU" if "queue" in fault else re.compile("step [1-9]"))
    studio.page.close()
    until(lambda: space.z.leases == [] and not space.z._scheduler.queue)
    if "queue" in fault:
        assert space.last.outcome == "withdrawn"


def test_on_a_phone_in_the_dark_with_the_keyboard(space, visit):
    studio = visit("?__theme=dark", viewport={"width": 360, "height": 740})
    assert studio.page.locator("body").evaluate("body => body.classList.contains('dark')")
    assert studio.page.evaluate("document.documentElement.scrollWidth") <= 360
    keyboard = studio.page.keyboard
    studio.prompt.focus()
    keyboard.type(PROMPT)
    keyboard.press("Tab")
    expect(studio.generate).to_be_focused()
    keyboard.press("Enter")
    expect(studio.status).to_contain_text(OVER, timeout=PATIENCE_MS)
    studio.over()
    expect(studio.generate).to_be_focused()
    gallery, more = studio.root.locator(".zi-gallery"), studio.fold("Settings")
    assert studio.generate.bounding_box()["y"] < gallery.bounding_box()["y"] < more.bounding_box()["y"]
    assert studio.page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    folders = [str(tiny_image.make(family, folder / family)) for family in ("stable-diffusion-3", "lcm")]
    with world(APPS / "tabs.py", env={"IMAGE_MODELS": os.pathsep.join(folders)}) as space:
        yield space


def test_each_model_has_its_own_settings_two_in_one_page(models, browser):
    context = browser.new_context(locale="en-GB", timezone_id="UTC")
    flow = Studio(context.new_page(), models.app.url)
    flow.open("Settings")
    expect(flow.root.get_by_label("Negative prompt")).to_be_visible()
    expect(flow.number("Guidance")).to_be_visible()
    flow.paint()
    file = flow.files()[0]
    flow.page.get_by_role("tab", name="lcm").click()
    few = Studio.__new__(Studio)
    few.page, few.problems = flow.page, flow.problems
    few.root = flow.page.locator(".zi-page:visible")
    few.open("Settings")
    expect(few.number("Steps")).to_be_visible()
    expect(few.root.get_by_label("Negative prompt")).to_be_hidden()
    few.drop(file, ".zi-page:visible .zi-ask")
    expect(few.status).to_contain_text("The settings of that picture are back.", timeout=PATIENCE_MS)
    expect(few.status).to_contain_text("It was made with")
    expect(few.prompt).to_have_value(PROMPT)
    few.prompt.fill("two blue squares")
    few.generate.click()
    expect(few.status).to_contain_text(OVER, timeout=PATIENCE_MS)
    few.over()
    flow.page.get_by_role("tab", name="stable-diffusion-3").click()
    flow.root = flow.page.locator(".zi-page:visible")
    expect(flow.prompt).to_have_value(PROMPT)
    assert flow.files() == [file]
    assert flow.problems == []
    context.close()
    until(lambda: models.z.leases == [])
