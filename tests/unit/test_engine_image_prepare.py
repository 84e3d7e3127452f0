"""What is settled of a request before a GPU is asked for."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tiny_image
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_engine_image import distance, half_mask, photo

from zerokit.control import Control
from zerokit.engines import image_prompts
from zerokit.engines.abilities import token_limit
from zerokit.errors import RequestError
from zerokit.requests import MAX_SIDE, MIN_SIDE, ImageRequest


@pytest.fixture
def engine():
    return tiny_image.engine()


def prepare(engine, prompt="a red circle", **more):
    return engine.prepare(ImageRequest(prompt, **more))


# Defaults


def test_everything_is_settled(engine):
    prepared = prepare(engine)
    request = prepared.request
    assert (request.width, request.height, request.steps, request.guidance) == (32, 32, 50, 7.5)
    assert request.scheduler == "DDIM" == engine.abilities.schedulers[0]
    assert 0 <= request.seed < 2**31
    assert prepare(engine).request.seed != request.seed
    assert (prepared.notes, prepared.steps_run, prepared.passes, prepared.images) == ((), 50, 2, 1)
    assert prepared.megapixels == pytest.approx(32 * 32 / 1e6)
    assert pickle.loads(pickle.dumps(prepared)) == prepared


def test_what_is_asked_for_stays(engine):
    request = ImageRequest("x", width=64, height=40, images=3, steps=7, guidance=2.0, seed=5, scheduler="EulerDiscrete")
    prepared = engine.prepare(request)
    assert (prepared.request, prepared.notes, prepared.steps_run) == (request, (), 7)


@pytest.mark.parametrize(
    ("family", "guidance", "passes"),
    [
        ("stable-diffusion", 7.5, 2),
        ("stable-diffusion", 1.0, 1),
        ("stable-diffusion-3", 7.0, 2),
        ("pixart-sigma", 4.5, 2),
        ("pixart-sigma", 1.0, 1),
        ("flux", 3.5, 1),
        ("lcm", 8.5, 1),
    ],
)
def test_passes_follow_the_guidance(family, guidance, passes):
    assert prepare(tiny_image.engine(family), guidance=guidance).passes == passes


def test_a_guidance_that_is_none_of_the_models_is_none():
    assert prepare(tiny_image.engine("flux")).request.guidance == 3.5


# What a model cannot do


def test_a_mode_that_the_model_has_not():
    with pytest.raises(RequestError, match=r"cannot start from a picture\. It can make a picture from a prompt alone"):
        prepare(tiny_image.engine("pixart-sigma"), image=photo())
    with pytest.raises(RequestError, match="cannot paint a part"):
        prepare(tiny_image.engine("lcm"), image=photo(), mask=half_mask())


@pytest.mark.parametrize("family", ["flux", "lcm"])
def test_a_negative_prompt_where_none_is_taken(family):
    with pytest.raises(RequestError, match="takes no negative prompt"):
        prepare(tiny_image.engine(family), negative_prompt="blue")
    prepare(tiny_image.engine(family), negative_prompt="  ")


def test_a_negative_prompt_without_effect_is_noted(engine):
    assert prepare(engine, negative_prompt="blue", guidance=1).notes == (
        "With a guidance of 1 the negative prompt has no effect.",
    )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ddim", '"DDIM"'),
        ("EulerDiscreteScheduler", '"EulerDiscrete"'),
        ("Euler a", '"Euler'),
        ("zzz", "There is DDIM"),
    ],
)
def test_an_unknown_scheduler_names_the_nearest(engine, name, says):
    with pytest.raises(RequestError, match=says):
        prepare(engine, scheduler=name)


# Sizes


@given(side=st.integers(MIN_SIDE, MAX_SIDE), multiple=st.sampled_from([1, 2, 4, 8, 16, 32, 64, 128]))
def test_sides_become_the_nearest_multiple_that_may_be_asked_for(side, multiple):
    made = image_prompts.rounded(side, multiple)
    assert made % multiple == 0
    assert MIN_SIDE <= made <= MAX_SIDE
    assert abs(made - side) <= max(multiple / 2, multiple - MIN_SIDE)
    assert image_prompts.rounded(made, multiple) == made


@given(
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    side=st.none() | st.integers(MIN_SIDE, 200),
    tall=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_the_size_follows_a_picture(width, height, side, tall):
    asked = {} if side is None else {"height" if tall else "width": side}
    request = ImageRequest("x", image=Image.new("RGB", (width, height), "red"), **asked)
    made = tiny_image.engine().prepare(request).request
    assert made.image.size == (made.width, made.height)
    assert made.width % 8 == made.height % 8 == 0
    assert made.image.getextrema() == ((255, 255), (0, 0), (0, 0))
    if side is None and 1 / 3 < width / height < 3:
        assert 0.4 < made.width * made.height / (32 * 32) < 2
        assert abs(made.width - made.height * width / height) <= 8 * (1 + width / height)


def test_a_rounded_size_is_noted(engine):
    prepared = prepare(engine, width=50, height=61)
    assert (prepared.request.width, prepared.request.height) == (48, 64)
    assert prepared.notes == ("The size is 48x64: sides are multiples of 8 here.",)


def test_too_many_pixels_are_refused_with_numbers(engine):
    prepare(engine, width=4096, height=4096)
    with pytest.raises(RequestError, match=r"4 times 4096x2048 is 33\.6 million pixels.* 16\.8 million"):
        prepare(engine, width=4096, height=2048, images=4)


# Pictures and masks


def test_a_picture_is_never_distorted(engine):
    wide = Image.new("RGB", (200, 100), "red")
    wide.paste("blue", (50, 0, 150, 100))
    prepared = prepare(engine, image=wide, width=32, height=32)
    (_, red), _, (blue, _) = prepared.request.image.getextrema()
    assert (red < 20, blue > 235) == (True, True)
    assert prepared.notes == ("The picture was cut to the shape of 32x32.",)
    free = prepare(engine, image=wide)
    assert (free.request.width, free.request.height, free.notes) == (48, 24, ())


@pytest.mark.parametrize(
    "mode", ["RGB", "RGBA", "L", "LA", "P", "PA", "1", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16"]
)
def test_pictures_of_any_mode(engine, mode):
    grey = Image.new("L", (32, 32), 128)
    picture = grey.convert(mode) if mode in ("1", "I", "F", "I;16") else photo().convert("RGB")
    if mode not in ("1", "I", "F", "I;16"):
        picture = picture.convert("LA" if mode == "PA" else mode) if mode != "LAB" else Image.new("LAB", (32, 32))
        picture = picture.convert("PA") if mode == "PA" else picture
    made = prepare(engine, image=picture).request.image
    assert (made.mode, made.size) == ("RGB", (32, 32))
    if mode in ("I", "F", "I;16"):
        assert distance(made, grey.convert("RGB")) <= 1


def test_sixteen_bits_a_pixel_are_not_cut_off(engine):
    deep = Image.fromarray(np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16))
    low, high = prepare(engine, image=deep).request.image.convert("L").getextrema()
    assert (low, high) == (0, 255)


def test_transparency_is_white_and_cameras_are_turned(engine):
    clear = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    assert prepare(engine, image=clear).request.image.getextrema() == ((255, 255),) * 3
    turned = Image.new("RGB", (40, 20), "red")
    turned.paste("blue", (0, 0, 20, 20))
    turned.getexif()[0x0112] = 6
    made = prepare(engine, image=turned).request
    assert made.width < made.height
    assert made.image.getpixel((4, 1))[2] > 200


def test_a_mask_is_black_or_white_and_fits_its_picture(engine):
    soft = Image.linear_gradient("L").resize((64, 64))
    prepared = prepare(engine, image=photo(), mask=soft)
    assert prepared.request.mask.mode == "L"
    assert sorted(color for _, color in prepared.request.mask.getcolors()) == [0, 255]
    assert prepared.request.mask.size == prepared.request.image.size


def test_a_mask_is_cut_like_its_picture(engine):
    wide = Image.new("RGB", (200, 100), "red")
    mask = Image.new("L", (200, 100), 0)
    mask.paste(255, (50, 0, 150, 100))
    assert prepare(engine, image=wide, mask=mask, width=32, height=32).request.mask.getextrema() == (255, 255)


def test_strokes_on_a_transparent_layer_are_a_mask(engine):
    layer = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    layer.paste((255, 255, 255, 255), (0, 0, 16, 32))
    assert distance(prepare(engine, image=photo(), mask=layer).request.mask, half_mask()) == 0


def test_masks_that_cannot_be_used(engine):
    with pytest.raises(RequestError, match=r"mask is 32x64 and the picture 32x32"):
        prepare(engine, image=photo(), mask=Image.new("L", (32, 64), 255))
    with pytest.raises(RequestError, match="Nothing is marked"):
        prepare(engine, image=photo(), mask=Image.new("L", (32, 32), 0))


# Steps


@pytest.mark.parametrize(
    ("family", "steps", "strength", "run"),
    [
        ("stable-diffusion", 50, 0.6, 30),
        ("stable-diffusion", 7, 0.5, 3),
        ("stable-diffusion", 50, 1, 50),
        ("flux", 7, 0.5, 4),
        ("stable-diffusion-3", 10, 0.5, 5),
        ("stable-diffusion", 4, 0.01, 1),
        ("stable-diffusion", 49, 0.01, 1),
        ("flux", 1, 0.01, 1),
        ("lcm", 4, 0.1, 4),
        ("lcm", 4, 0.01, 4),
    ],
)
def test_the_steps_that_run_are_those_of_the_pipeline_and_at_least_one(family, steps, strength, run):
    engine = tiny_image.engine(family)
    prepared = prepare(engine, image=photo(), steps=steps, strength=strength, width=32, height=32, seed=1)
    assert prepared.steps_run == run
    calls = []
    forward = engine.denoiser.forward
    engine.denoiser.forward = lambda *args, **more: (calls.append(1), forward(*args, **more))[1]
    try:
        reply = engine.generate(prepared, Control())
    finally:
        del engine.denoiser.forward
    assert (len(calls), reply.steps, reply.ended) == (run, run, "complete")


def test_more_steps_than_a_distilled_scheduler_has_are_refused():
    engine = tiny_image.engine("lcm")
    assert prepare(engine, steps=50).steps_run == 50
    for more in ({}, {"image": photo()}):
        with pytest.raises(RequestError, match="51 steps are too many for the scheduler LCM"):
            prepare(engine, steps=51, **more)


# Prompts


def test_what_is_not_read_of_a_prompt_is_noted(engine):
    assert prepare(engine, "one two three four").notes == ()
    assert prepare(engine, "one two three four five six seven eight").notes == (
        "The last 2 words of the prompt were not read: this model reads 24 tokens.",
    )
    assert prepare(engine, "x" * 60).notes == ("The end of the prompt was not read: this model reads 24 tokens.",)
    assert "negative prompt" in prepare(engine, "x", negative_prompt="no " * 30).notes[0]


def test_of_several_text_encoders_the_longest_counts():
    engine = tiny_image.engine("flux")
    assert engine.abilities.max_prompt_tokens == 512
    assert prepare(engine, "word " * 60).notes == ()
    assert "512 tokens" in prepare(engine, "word " * 300).notes[0]


def test_a_very_long_prompt_is_prepared_quickly(engine):
    assert prepare(engine, "word " * 19_000).notes[0].startswith("The last 18,")


def test_prompts_are_prepared_while_pictures_are_made(engine):
    def both(number):
        note = prepare(engine, "word " * (10 + number)).notes
        engine.generate(prepare(engine, "word " * 50, steps=1), Control())
        return note

    with ThreadPoolExecutor(6) as pool:
        notes = list(pool.map(both, range(12)))
    assert notes == [prepare(engine, "word " * (10 + number)).notes for number in range(12)]
    assert all("words of the prompt were not read" in note for (note,) in notes)


def test_a_tokenizer_without_a_limit_has_none():
    assert token_limit(type("T", (), {"model_max_length": int(1e30)})(), None) is None
