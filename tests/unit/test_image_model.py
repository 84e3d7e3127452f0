"""An image model without a GPU: requests and their defaults, what fits, files, and the Blocks around it."""

from __future__ import annotations

import inspect
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import pytest
import tiny_image
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from zerokit import ZeroDiffusion
from zerokit.blocks.image_model import ImageModel, _slug
from zerokit.calls import Quote
from zerokit.engines.image import ImageEngine
from zerokit.errors import DurationTooLong, QuotaExceeded, RequestError
from zerokit.pictures.record import Record, read_png
from zerokit.requests import AdapterChoice, ImageReply, Picture

few = settings(max_examples=40, deadline=None)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return ImageEngine(tiny_image.make("stable-diffusion", tmp_path_factory.mktemp("model") / "tiny"))


@pytest.fixture(scope="module")
def distilled(tmp_path_factory):
    """A model without a negative prompt."""
    return ImageEngine(tiny_image.make("lcm", tmp_path_factory.mktemp("model") / "lcm"))


@pytest.fixture(scope="module")
def model(engine):
    return ImageModel(engine, size=None, start={"steps": 4})


# Requests.


def test_what_is_not_said_is_as_the_author_set_it(engine):
    start = {"steps": 6, "images": 2, "negative_prompt": "blue", "width": 48, "guidance": None}
    model = ImageModel(engine, size=None, start=start)
    asked = model.request("a circle", {"steps": None, "seed": None})
    assert (asked.steps, asked.images, asked.negative_prompt) == (6, 2, "blue")
    assert (asked.width, asked.height) == (48, engine.abilities.height)
    assert asked.guidance == engine.abilities.guidance
    assert model.request("a circle", {"steps": 9, "images": 1}).steps == 9


def test_a_picture_to_start_from_keeps_its_shape(engine):
    model = ImageModel(engine, size=None, start={"width": 48, "height": 48})
    picture = Image.new("RGB", (80, 40))
    assert model.request("a circle", {"image": picture}).width is None
    work = model.work(model.request("a circle", {"image": picture}))
    assert (work.request.width, work.request.height) == (48, 24)
    assert model.request("a circle", {"image": picture, "width": 64}).width == 64


def test_settings_that_there_are_not_are_named(model):
    with pytest.raises(RequestError, match="no such setting: 'colour'"):
        model.request("a circle", {"colour": "red"})


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ({"steps": 0}, "Steps is 0"),
        ({"steps": 2.5}, "whole number"),
        ({"images": 17}, "from 1 to 16"),
        ({"guidance": 31}, "Guidance is 31"),
        ({"width": 8}, "Width is 8"),
        ({"width": 8192, "height": 8192}, "million pixels"),
        ({"negative_prompt": 7}, "text"),
    ],
    ids=str,
)
def test_what_an_author_sets_wrong_is_told_at_once(engine, start, said):
    with pytest.raises(RequestError, match=said):
        ZeroDiffusion(engine, **start)


def test_a_negative_prompt_for_a_model_that_takes_none(distilled):
    with pytest.raises(RequestError, match="takes no negative prompt"):
        ZeroDiffusion(distilled, negative_prompt="blue")
    page = ZeroDiffusion(distilled)
    with pytest.raises(RequestError, match="takes no negative prompt"):
        page.model.work(page.model.request("a circle", {"negative_prompt": "blue"}))
    assert page.parts.negative_prompt.visible is False


# What fits into the seconds that are left.


def priced(model, price):
    """A model whose calls reserve what `price` says of steps and images; at most 60 s."""

    def quote(work):
        seconds = price(work.request.steps, work.request.images)
        if seconds > 60:
            raise DurationTooLong("60 s at most.")
        return Quote(seconds, seconds, seconds)

    other = object.__new__(ImageModel)
    other.__dict__.update(vars(model), paint=SimpleNamespace(quote=quote))
    return other


def asked(model, steps, images):
    return model.request("a circle", {"steps": steps, "images": images})


@few
@given(st.integers(1, 60), st.integers(1, 8), st.floats(0, 30), st.floats(0, 3), st.floats(0, 60))
def test_what_fits_fits_and_nothing_larger_does(model, steps, images, base, each, left_s):
    def price(steps, images):
        return base + each * steps * images

    fit = priced(model, price).fit(asked(model, steps, images), left_s)
    if fit is None:
        assert price(min(4, steps), 1) > min(left_s, 60)
        return
    assert 1 <= fit.steps <= steps
    assert 1 <= fit.images <= images
    assert price(fit.steps, fit.images) <= left_s
    assert fit.steps == steps or price(fit.steps + 1, fit.images) > left_s


@few
@given(st.integers(1, 60), st.integers(1, 8), st.floats(0.01, 3), st.floats(0, 60), st.floats(0, 60))
def test_with_more_left_no_less_fits(model, steps, images, each, one, other):
    cheap = priced(model, lambda steps, images: 1 + each * steps * images)
    less, more = (cheap.fit(asked(model, steps, images), left) for left in sorted((one, other)))
    if less is not None:
        assert more is not None
        assert more.images * more.steps >= less.images * less.steps or more.steps >= less.steps
        assert more.images >= less.images or more.steps > less.steps


def test_nothing_fits_nothing_left(model):
    def refuse(*_):
        raise QuotaExceeded("Nothing left.")

    assert priced(model, refuse).fit(asked(model, 20, 2), 0) is None
    assert priced(model, lambda *_: 61).fit(asked(model, 20, 2), 300) is None


def test_fewer_pictures_are_rather_taken_than_hardly_any_steps(model):
    fit = priced(model, lambda steps, images: steps * images).fit(asked(model, 20, 4), 20)
    assert (fit.steps, fit.images) == (10, 2)


# Files.


def test_files_are_named_by_prompt_and_seed_and_carry_the_record(model, tmp_path):
    work = model.work(model.request("A red Circle, on <b>white</b>!", {"seed": 8, "steps": 4, "images": 2}))
    pictures = tuple(Picture(Image.new("RGB", (32, 32), "red"), seed) for seed in (8, 9))
    files = model.save(work, ImageReply(pictures, steps=3, steps_asked=4, ended="deadline"), tmp_path)
    assert [file.name for file in files] == [f"a-red-circle-on-b-white-b-{seed}.png" for seed in (8, 9)]
    assert len({file.parent for file in files}) == 1
    assert all(file.is_relative_to(tmp_path) for file in files)
    for file, seed in zip(files, (8, 9), strict=True):
        record = read_png(file)
        assert (record.prompt, record.seed, record.steps, record.steps_made) == (work.request.prompt, seed, 4, 3)
        assert (record.width, record.height, record.model) == (32, 32, model.engine.name)


def test_two_calls_never_write_over_each_other(model, tmp_path):
    work = model.work(model.request("a circle", {"seed": 8}))
    reply = ImageReply((Picture(Image.new("RGB", (32, 32)), 8),), steps=4)
    one, other = model.save(work, reply, tmp_path), model.save(work, reply, tmp_path)
    assert one[0].name == other[0].name
    assert one[0].parent != other[0].parent


def test_a_picture_of_all_steps_does_not_say_how_many_it_has(model):
    work = model.work(model.request("a circle", {"steps": 4, "seed": 1}))
    picture = Picture(Image.new("RGB", (32, 32)), 1)
    assert model.record(work, ImageReply((picture,), steps=4, steps_asked=4), picture).steps_made is None
    assert model.record(work, ImageReply((picture,), steps=2, steps_asked=4), picture).steps_made == 2


def test_the_record_says_which_adapters_acted(model):
    work = model.work(model.request("a circle", {"seed": 1}))
    chosen = (AdapterChoice("outline", 0.8), AdapterChoice("ink", -1))
    work = replace(work, request=replace(work.request, adapters=chosen))
    picture = Picture(Image.new("RGB", (32, 32)), 1)
    assert model.record(work, ImageReply((picture,), steps=4), picture).adapters == chosen


@given(st.text(max_size=300))
@few
def test_any_prompt_gives_a_name_for_any_system(prompt):
    name = _slug(prompt)
    assert 1 <= len(name) <= 40
    assert name.isascii()
    assert name.replace("-", "").isalnum()


# The Blocks.


def test_pictures_without_a_page(engine):
    page = ZeroDiffusion(engine, steps=2)
    reply = page.generate("a red circle", seed=5, images=2)
    assert [picture.seed for picture in reply.pictures] == [5, 6]
    assert (reply.ended, reply.steps) == ("complete", 2)
    with pytest.raises(RequestError, match="is empty"):
        page.generate(" ")
    with pytest.raises(RequestError, match="no such setting"):
        page.generate("a circle", step=3)


def test_it_nests_in_tabs_of_other_blocks(engine, distilled):
    with gr.Blocks() as demo:
        with gr.Tab("One"):
            one = ZeroDiffusion(engine, title="One")
        with gr.Tab("Two"):
            two = ZeroDiffusion(distilled, title="Two")
    names = [function.api_name for function in demo.fns.values() if function.api_visibility == "public"]
    assert [name for name in names if str(name).startswith("generate")] == ["generate", "generate_1"]
    assert one.model is not two.model
    assert demo.get_config_file()["dependencies"]


# Settings that come from the page and go back to it.


@pytest.fixture(scope="module")
def parts(engine):
    return ZeroDiffusion(engine, steps=4).parts


def from_page(parts, **changes):
    values = dict(
        prompt="a circle",
        negative_prompt="",
        aspect="Free",
        width=48.0,
        height=40.0,
        images=2.0,
        steps=7.0,
        guidance=5,
        scheduler="DDIM",
        seed=3.0,
        randomise=False,
        strength=0.6,
        preview=False,
    )
    return parts.from_page(**{**values, **changes})


def test_sliders_give_floats_for_whole_numbers(parts, model):
    asked = model.request("a circle", {k: v for k, v in from_page(parts).items() if k != "prompt"})
    numbers = (asked.width, asked.height, asked.images, asked.steps, asked.seed)
    assert numbers == (48, 40, 2, 7, 3)
    assert all(type(number) is int for number in numbers)


def test_a_size_from_the_list_is_taken_for_the_numbers(parts):
    fixed = from_page(parts, aspect="1:1")
    assert (fixed["width"], fixed["height"]) == (32, 32)


def test_another_seed_each_time_sends_none(parts):
    assert from_page(parts, randomise=True)["seed"] is None
    assert from_page(parts, prompt=None)["prompt"] == ""


def test_half_typed_numbers_are_refused_and_not_guessed(parts, model):
    for field in ("steps", "images", "width"):
        asked = {k: v for k, v in from_page(parts, **{field: 2.5}).items() if k != "prompt"}
        with pytest.raises(RequestError, match="whole number"):
            model.request("a circle", asked)


def plain(values):
    return [value["value"] if isinstance(value, dict) and "value" in value else value for value in values]


def test_recalled_settings_are_those_of_the_picture(parts):
    record = Record("a circle", "blue", 48, 40, 9, 5.5, 11, "EulerDiscrete", strength=0.3, mode="image")
    values, notes = parts.recalled(record)
    said = plain(values)
    assert len(values) == len(parts.settings)
    assert said[:4] == ["a circle", "blue", "Free", 48]
    assert said[4:10] == [40, 1, 9, 5.5, "EulerDiscrete", 11]
    assert said[10:] == [False, 0.3, False]
    assert len(notes) == 1
    assert "another picture" in notes[0]


def test_recalled_settings_leave_nothing_of_what_was_there_before(parts):
    values, notes = parts.recalled(Record("a circle"))
    said = dict(zip(inspect.signature(parts.from_page).parameters, plain(values), strict=True))
    assert (said["negative_prompt"], said["preview"]) == ("", False)
    assert (said["width"], said["height"], said["steps"], said["images"]) == (32, 32, 4, 1)
    assert said["guidance"] == parts.start["guidance"]
    assert (said["scheduler"], said["strength"], said["randomise"]) == ("DDIM", 0.6, True)
    assert notes == []


def test_what_a_model_cannot_is_told_when_it_is_recalled(distilled):
    parts = ZeroDiffusion(distilled).parts
    values, notes = parts.recalled(Record("a circle", "blue", scheduler="Nonsense"))
    assert "blue" not in plain(values)
    assert any("no negative prompt" in note for note in notes)
    assert any("Nonsense" in note for note in notes) is (len(distilled.abilities.schedulers) > 0)
