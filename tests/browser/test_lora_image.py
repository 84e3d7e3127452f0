"""ZeroLoRA over an image model in a browser: picking adapters, comparing them, bringing one, and what comes back."""

import json
import re
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

sys.path.append(str(Path(__file__).parents[1] / "emulator"))

from chat_world import HERE, world
from folds import unfold
from studio import OVER, PATIENCE_MS, PROMPT, Studio, png

from zerokit.pictures.record import read_png
from zerokit.requests import AdapterChoice

import tiny_image  # found where chat_world looks for it  # isort: skip
from tiny_image_adapters import USUAL, save  # isort: skip

APP = HERE / "image_apps" / "lora.py"
NAMES = ("outline", "pastel", "third")
STEPS = 6


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    return {name: save(folder / name, seed=seed) for seed, name in enumerate((*NAMES, "mine"), 1)}


@pytest.fixture(scope="module")
def space(tmp_path_factory, files):
    model = tiny_image.make("stable-diffusion", tmp_path_factory.mktemp("model"))
    adapters = json.dumps({name: str(files[name]) for name in NAMES})
    env = {"IMAGE_MODEL": str(model), "LORA_ADAPTERS": adapters, "LORA_CUSTOM": "1", "IMAGE_STEPS": str(STEPS)}
    with world(APP, env=env) as space:
        space.z.set_faults("slow:0.1")
        space.client().predict(PROMPT, steps=60, api_name="/generate")  # what steps take on this machine is learned
        yield space


class Styles(Studio):
    """A visitor's page with adapters."""

    def card(self, name: str):
        return self.root.locator(".zl-card").filter(has_text=name)

    def pick(self, *names: str) -> None:
        for name in names:
            self.card(name).click()
            expect(self.card(name)).to_have_attribute("aria-pressed", "true")

    def picked(self) -> dict[str, float]:
        """The weights of what is picked, by name."""
        sliders = self.root.locator(".zl-slider")
        pairs = sliders.evaluate_all("all => all.map(one => [one.getAttribute('aria-label'), one.valueAsNumber])")
        return {label.removeprefix("Weight of "): weight for label, weight in pairs}

    @property
    def compare(self):
        return self.root.get_by_role("button", name=re.compile("^Compare"))

    def bring(self, file: object) -> None:
        """Upload an adapter, and have it checked once it is there."""
        self.root.locator(".zi-more-settings input[type=file]").first.set_input_files(file)
        expect(self.root.locator(".zi-more-settings .file-preview").first).to_be_visible(timeout=PATIENCE_MS)
        self.root.get_by_role("button", name="Check and add").click()

    def captions(self) -> list[str]:
        return [text.strip() for text in self.root.locator(".zi-gallery .caption-label").all_inner_texts()]


@pytest.fixture
def visit(space, visitors):
    """Opens pages, each of a visitor with a browser of their own; nothing is left when they are gone."""
    space.new_day()
    pages = []

    def open_page(query="", **context):
        context.setdefault("viewport", {"width": 1100, "height": 1000})
        pages.append(Styles(visitors.page(**context), space.app.url + query))
        return pages[-1]

    yield open_page
    visitors.leave()
    space.new_day()
    space.settle()
    assert [page.problems for page in pages if page.problems] == []


def test_what_is_picked_acts_and_is_in_the_file(space, visit):
    page = visit()
    expect(page.compare).to_be_disabled()
    page.pick("outline", "pastel")
    expect(page.root.get_by_text("Adds “outlined” to the prompt")).to_be_visible()
    assert page.picked() == {"outline": 1, "pastel": 0.5}
    page.root.get_by_role("slider", name="Weight of outline").fill("0.25")
    page.root.get_by_role("button", name="two blue squares").click()
    expect(page.prompt).to_have_value("two blue squares")
    page.generate.click()
    expect(page.status).to_contain_text(OVER, timeout=PATIENCE_MS)
    page.over()
    record = read_png(page.files()[0])
    assert record.prompt == "outlined two blue squares in pastel"
    assert record.adapters == (AdapterChoice("outline", 0.25), AdapterChoice("pastel", 0.5))
    page.root.get_by_role("button", name="Clear", exact=True).click()
    page.paint()
    assert read_png(page.files()[0]).adapters == ()


def test_a_comparison_is_one_run_side_by_side_with_names(space, visit):
    page = visit()
    page.pick("outline", "third")
    expect(page.compare).to_have_text(re.compile(r"Compare 3 pictures · about \d+ s"), timeout=PATIENCE_MS)
    calls, runs = len(space.z.calls), space.z.visitor("free").runs_left
    page.prompt.fill(PROMPT)
    page.compare.click()
    expect(page.stop).to_be_visible()
    expect(page.status).to_contain_text(re.compile(r"^3 pictures · .* · seed \d+ · "), timeout=PATIENCE_MS)
    page.over()
    assert len(space.z.calls) == calls + 1
    assert space.z.visitor("free").runs_left == runs - 1
    assert [caption.partition(" · ")[0] for caption in page.captions()] == ["Base", "outline", "third"]
    records = [read_png(file) for file in page.files()]
    assert [[one.name for one in record.adapters] for record in records] == [[], ["outline"], ["third"]]
    assert len({record.seed for record in records}) == 1
    expect(page.root.get_by_label("Seed", exact=True)).to_have_count(0)  # folded
    unfold(page.fold("Settings"))
    expect(page.root.get_by_label("Seed", exact=True)).to_have_value(str(records[0].seed))
    expect(page.compare).to_be_enabled()


def test_a_picture_brings_its_adapters_back_and_clears_the_others(space, visit):
    page = visit()
    page.pick("outline")
    page.paint()
    file = page.files()[0]
    other = visit()
    other.pick("third", "pastel")
    other.drop(file)
    expect(other.status).to_contain_text("The settings of that picture are back.", timeout=PATIENCE_MS)
    expect(other.card("outline")).to_have_attribute("aria-pressed", "true")
    assert other.picked() == {"outline": 1}
    other.root.get_by_role("button", name="Clear", exact=True).click()
    other.root.get_by_label("Prompt", exact=True).fill(PROMPT)
    other.paint()
    plain = other.files()[0]
    page.drop(plain)
    expect(page.status).to_contain_text("The settings of that picture are back.", timeout=PATIENCE_MS)
    expect(page.card("outline")).to_have_attribute("aria-pressed", "false")
    assert page.picked() == {}


def test_a_link_carries_adapters(space, visit):
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    page.pick("pastel")
    page.prompt.fill("a fox")
    page.root.get_by_role("button", name="Copy a link").click()
    expect(page.root.get_by_role("button", name="Link copied")).to_be_visible()
    link = page.page.evaluate("navigator.clipboard.readText()")
    other = visit(link.removeprefix(space.app.url))
    expect(other.prompt).to_have_value("a fox", timeout=PATIENCE_MS)
    expect(other.card("pastel")).to_have_attribute("aria-pressed", "true")
    assert other.picked() == {"pastel": 0.5}
    odd = visit('?prompt=x&adapters={"<b>":1,"gone":1,"third":1e999,"outline":2}')
    expect(odd.status).to_contain_text("The adapter gone is not here.", timeout=PATIENCE_MS)
    assert odd.picked() == {"outline": 2}


def test_ones_own_is_for_one_visitor_alone_and_goes_again(space, visit, files):
    page, other = visit(), visit()
    unfold(page.fold("An adapter of your own"))
    page.bring(files["mine"] / USUAL)
    mine = page.card("pytorch_lora_weights")
    expect(mine).to_have_attribute("aria-pressed", "true", timeout=PATIENCE_MS)
    expect(other.card("pytorch_lora_weights")).to_have_count(0)
    expect(page.compare).to_contain_text("Compare 2 pictures", timeout=PATIENCE_MS)
    page.paint()
    (choice,) = read_png(page.files()[0]).adapters
    assert choice.name == "pytorch_lora_weights"
    other.paint()
    assert read_png(other.files()[0]).adapters == ()
    page.root.get_by_role("button", name="Remove pytorch_lora_weights").click()
    expect(mine).to_have_count(0)
    assert space.client().predict(api_name="/folders") == []
    calls = len(space.z.calls)
    page.bring({"name": "not.safetensors", "mimeType": "application/octet-stream", "buffer": png("red")})
    expect(page.alert).to_be_visible(timeout=PATIENCE_MS)
    assert len(space.z.calls) == calls


def test_on_a_phone_in_the_dark(space, visit):
    page = visit("?__theme=dark", viewport={"width": 360, "height": 740})
    page.pick("outline", "pastel", "third")
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 360
    page.prompt.fill(PROMPT)
    expect(page.compare).to_be_enabled(timeout=PATIENCE_MS)
    page.compare.click()
    expect(page.status).to_contain_text("4 pictures", timeout=PATIENCE_MS)
    page.over()
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 360
