"""Pictures of the image engine."""

import logging
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tiny_image
import torch
from PIL import Image

from zerokit.control import Control
from zerokit.engines import decoding, painting
from zerokit.errors import NonFinite, OutOfMemory
from zerokit.requests import ImageRequest

SIZE = dict(width=32, height=32)
ALL = [
    (family, mode)
    for family, modes in {
        "stable-diffusion": ("text", "image", "inpaint"),
        "stable-diffusion-3": ("text", "image", "inpaint"),
        "flux": ("text", "image", "inpaint"),
        "pixart-sigma": ("text",),
        "lcm": ("text", "image"),
    }.items()
    for mode in modes
]


def photo(width=32, height=32) -> Image.Image:
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([across, down, 255 - across], axis=-1).astype(np.uint8))


def half_mask(width=32, height=32) -> Image.Image:
    """The left half is to be painted anew."""
    mask = Image.new("L", (width, height), 0)
    mask.paste(255, (0, 0, width // 2, height))
    return mask


def asked(mode: str, prompt="a red circle", **settings) -> ImageRequest:
    if mode != "text":
        settings["image"] = photo()
    if mode == "inpaint":
        settings["mask"] = half_mask()
    return ImageRequest(prompt, **(SIZE | {"steps": 4, "seed": 7} | settings))


def paint(engine, mode="text", control=None, **settings):
    return engine.generate(engine.prepare(asked(mode, **settings)), control or Control())


def distance(one: Image.Image, other: Image.Image) -> float:
    """The largest difference of two pixels, 0 to 255."""
    return float(np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).max())


class Listening(Control):
    """Remembers every report, and may stop the call after some steps."""

    def __init__(self, stop_after=float("inf")) -> None:
        super().__init__()
        self.heard = []
        self.stop_after = stop_after

    def report(self, done=None, total=None, text="", *, made=None):
        super().report(done, total, text, made=made)
        self.heard.append((done, total, text, made))
        if text == "Painting" and done >= self.stop_after:
            self.cancel()

    def made(self) -> list:
        return [made for *_, made in self.heard if made is not None]


@pytest.fixture
def engine():
    return tiny_image.engine()


def out_of_memory(*_args, **_more):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB.")


# Whole pictures


@pytest.mark.parametrize(("family", "mode"), ALL)
def test_every_family_in_every_mode(family, mode):
    engine = tiny_image.engine(family)
    prepared = pickle.loads(pickle.dumps(engine.prepare(asked(mode, images=2))))
    reply = engine.generate(prepared, Control())
    assert [picture.seed for picture in reply.pictures] == [7, 8]
    assert all(picture.image.size == (32, 32) and picture.image.mode == "RGB" for picture in reply.pictures)
    assert (reply.ended, reply.steps, reply.notes) == ("complete", prepared.steps_run, ())
    assert reply.seconds > 0
    assert pickle.loads(pickle.dumps(reply)).pictures[1].seed == 8


@pytest.mark.parametrize(("family", "mode"), ALL)
def test_each_picture_of_a_batch_can_be_made_alone(family, mode):
    engine = tiny_image.engine(family)
    together = paint(engine, mode, images=3, seed=2**31 - 2)
    assert [picture.seed for picture in together.pictures] == [2**31 - 2, 2**31 - 1, 0]
    for picture in together.pictures[1:]:
        alone = paint(engine, mode, seed=picture.seed)
        assert distance(alone.pictures[0].image, picture.image) <= 3


def test_other_seeds_and_prompts_give_other_pictures(engine):
    first = paint(engine).pictures[0].image
    assert distance(first, paint(engine).pictures[0].image) <= 1
    assert distance(first, paint(engine, seed=8).pictures[0].image) > 10
    assert distance(first, paint(engine, prompt="another one altogether").pictures[0].image) > 1
    assert distance(first, paint(engine, negative_prompt="blue").pictures[0].image) > 1
    assert distance(first, paint(engine, guidance=1).pictures[0].image) > 1


def test_the_picture_is_that_of_the_bare_pipeline(engine):
    pipe = engine.pipeline("text")
    generator = torch.Generator().manual_seed(7)
    bare = pipe("a red circle", num_inference_steps=4, generator=generator, **SIZE).images[0]
    assert distance(bare, paint(engine).pictures[0].image) <= 1


def test_every_scheduler_works_in_every_mode(engine):
    for scheduler in engine.abilities.schedulers:
        for mode in ("text", "inpaint"):
            reply = paint(engine, mode, scheduler=scheduler, steps=3)
            assert (reply.ended, len(reply.pictures), reply.notes) == ("complete", 1, ()), (scheduler, mode)


def test_schedulers_differ_and_the_shared_one_stays_as_it_is(engine):
    before = dict(engine.pipe.scheduler.config)
    one = paint(engine, scheduler="DDIM", steps=5).pictures[0].image
    assert distance(one, paint(engine, scheduler="EulerAncestralDiscrete", steps=5).pictures[0].image) > 1
    assert dict(engine.pipe.scheduler.config) == before
    assert engine.pipe.scheduler.num_inference_steps is None


@pytest.mark.parametrize("prompt", ["🎈🎉 👨‍👩‍👧", "قطة حمراء", "赤い円", "a\u202eb\x00c", "x" * 5000])
def test_any_writing_can_be_a_prompt(prompt):
    for family in ("stable-diffusion", "flux"):
        assert len(paint(tiny_image.engine(family), prompt=prompt, steps=2).pictures) == 1


@pytest.mark.parametrize("family", ["stable-diffusion", "stable-diffusion-3", "flux"])
def test_what_is_not_marked_stays_as_it_was_to_the_last_pixel(family):
    picture = paint(tiny_image.engine(family), "inpaint", strength=1).pictures[0].image
    right = (16, 0, 32, 32)
    assert distance(picture.crop(right), photo().crop(right)) == 0
    assert distance(picture, photo()) > 10


def test_threads_at_the_same_time_give_the_same_pictures_as_alone(engine):
    jobs = [dict(seed=i, scheduler=("DDIM", "EulerDiscrete")[i % 2], mode=("text", "inpaint")[i % 2]) for i in range(6)]
    alone = [paint(engine, **job).pictures[0].image for job in jobs]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda job: paint(engine, **job).pictures[0].image, jobs))
    assert max(map(distance, alone, together)) <= 1


def test_who_waits_for_a_run_can_stop(engine):
    control = Control()
    with engine._busy:
        threading.Timer(0.05, control.cancel).start()
        reply = paint(engine, control=control)
    assert (reply.ended, reply.pictures) == ("stopped", ())


def test_nothing_is_printed_and_what_was_loud_is_loud_again(tmp_path, capfd, caplog):
    folder = tiny_image.make("stable-diffusion", tmp_path)
    capfd.readouterr()
    loud = logging.getLogger("diffusers").level
    engine = tiny_image.ImageEngine(folder)
    paint(engine, prompt="far too long " * 50)
    paint(engine, "inpaint")
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert logging.getLogger("diffusers").level == loud


# Progress


def test_every_step_is_reported(engine):
    control = Listening()
    reply = paint(engine, control=control)
    steps = [(done, total) for done, total, text, _ in control.heard if text == "Painting"]
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [text for _, _, text, _ in control.heard][-2:] == ["Developing", "Done"]
    assert control.made() == [reply]


@pytest.mark.parametrize("family", ["stable-diffusion", "stable-diffusion-3", "lcm", "pixart-sigma"])
def test_previews_are_small_and_come_only_when_asked_for(family, monkeypatch):
    monkeypatch.setattr(painting, "PREVIEW_EVERY_S", 0.0)
    monkeypatch.setattr(decoding, "PREVIEW_SIDE", 16)
    monkeypatch.setattr(painting, "PREVIEW_COST", 0.0)
    control = Listening()
    reply = paint(tiny_image.engine(family), control=control, preview=True)
    previews = [made.preview for made in control.made() if made.preview is not None]
    assert len(previews) == 3
    assert all(max(preview.size) <= 16 for preview in previews)
    assert reply.preview is None
    plain = paint(tiny_image.engine(family))
    assert distance(plain.pictures[0].image, reply.pictures[0].image) <= 1


def test_previews_come_at_most_twice_a_second(engine):
    control = Listening()
    reply = paint(engine, control=control, preview=True, steps=20)
    assert sum(made.preview is not None for made in control.made()) <= 1 + reply.seconds / painting.PREVIEW_EVERY_S


def test_a_preview_that_fails_costs_nothing(engine, monkeypatch):
    monkeypatch.setattr(decoding, "preview", out_of_memory)
    assert paint(engine, preview=True).ended == "complete"


def test_packed_latents_have_no_preview():
    control = Listening()
    paint(tiny_image.engine("flux"), control=control, preview=True)
    assert all(made.preview is None for made in control.made())


# Memory


def test_a_batch_too_large_is_halved_and_gives_the_same_pictures(engine, monkeypatch):
    whole = paint(engine, images=5)
    forward, sizes = engine.denoiser.forward, []

    def small(sample, *args, **more):
        sizes.append(sample.shape[0] // 2)
        return out_of_memory() if sample.shape[0] > 4 else forward(sample, *args, **more)

    monkeypatch.setattr(engine.denoiser, "forward", small)
    control = Listening()
    reply = paint(engine, images=5, control=control)
    assert [picture.seed for picture in reply.pictures] == [7, 8, 9, 10, 11]
    assert sizes == [5, 3, *[2] * 4, *[1] * 4, *[2] * 4]
    for one, other in zip(whole.pictures, reply.pictures, strict=True):
        assert distance(one.image, other.image) <= 3
    assert [len(made.pictures) for made in control.made()] == [2, 3, 5]
    fractions = [done for done, _, text, _ in control.heard if text == "Painting"]
    assert fractions == sorted(fractions)
    assert (reply.ended, reply.notes) == ("complete", ())


def test_what_never_fits_is_said_with_numbers(engine, monkeypatch):
    monkeypatch.setattr(engine.denoiser, "forward", out_of_memory)
    with pytest.raises(OutOfMemory, match=r"one picture of 32x32.* 2\.50 GiB"):
        paint(engine, images=2)


def test_pictures_that_were_finished_outlive_a_later_failure(engine, monkeypatch):
    forward, calls = engine.denoiser.forward, []

    def failing(sample, *args, **more):
        calls.append(sample.shape[0])
        return out_of_memory() if sample.shape[0] > 2 or len(calls) > 6 else forward(sample, *args, **more)

    monkeypatch.setattr(engine.denoiser, "forward", failing)
    reply = paint(engine, images=2)
    assert ([picture.seed for picture in reply.pictures], reply.ended) == ([7], "interrupted")
    assert reply.notes[-1].startswith("1 of 2 pictures were made: The memory is too small")


def test_memory_that_ends_at_decoding_does_not_repeat_the_denoising(engine, monkeypatch):
    whole = paint(engine, images=3)
    decode, seen, runs = engine.pipe.vae.decode, [], []
    forward = engine.denoiser.forward

    def small(latents, *args, **more):
        seen.append((latents.shape[0], engine.pipe.vae.use_tiling))
        return out_of_memory() if latents.shape[0] > 1 else decode(latents, *args, **more)

    monkeypatch.setattr(engine.pipe.vae, "decode", small)
    monkeypatch.setattr(engine.denoiser, "forward", lambda *a, **k: (runs.append(1), forward(*a, **k))[1])
    reply = paint(engine, images=3)
    assert seen == [(3, False), (1, False), (1, False), (1, False)]
    assert len(runs) == 4
    assert max(distance(a.image, b.image) for a, b in zip(whole.pictures, reply.pictures, strict=True)) <= 3


def test_the_last_way_to_decode_is_in_tiles(engine, monkeypatch):
    vae = engine.pipe.vae
    decode = vae.decode

    def tiled_only(latents, *args, **more):
        return decode(latents, *args, **more) if vae.use_tiling else out_of_memory()

    monkeypatch.setattr(vae, "decode", tiled_only)
    assert len(paint(engine, images=2).pictures) == 2
    assert (vae.use_tiling, vae.use_slicing) == (False, False)


def test_large_pictures_are_decoded_in_tiles_from_the_start(engine, monkeypatch):
    monkeypatch.setattr(painting, "LARGE_PIXELS", 64 * 64 - 32 * 32)
    vae, tiled = engine.pipe.vae, []
    decode = vae.decode
    monkeypatch.setattr(vae, "decode", lambda *a, **k: (tiled.append(vae.use_tiling), decode(*a, **k))[1])
    paint(engine, width=64, height=64)
    paint(engine)
    assert tiled == [True, False]
    assert vae.use_tiling is False


def test_another_error_is_not_taken_for_a_full_memory(engine, monkeypatch):
    def broken(*_args, **_more):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(engine.denoiser, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        paint(engine, images=2)


# Numbers that are none


def test_nan_in_the_model_is_found_at_once_and_says_what_to_do(engine, monkeypatch):
    forward, calls = engine.denoiser.forward, []

    def lost(*args, **more):
        calls.append(1)
        return (forward(*args, **more)[0] * float("nan"),)

    monkeypatch.setattr(engine.denoiser, "forward", lost)
    with pytest.raises(NonFinite, match=r"step 1 of 4.*bfloat16.*scheduler.*guidance"):
        paint(engine)
    assert len(calls) == 1


def test_a_decoder_that_overflows_in_half_precision_is_asked_again_in_fp32(engine, monkeypatch):
    good = paint(engine).pictures[0].image
    vae, dtypes = engine.pipe.vae, []
    decode = vae.decode

    def overflowing(latents, *args, **more):
        dtype = vae.post_quant_conv.weight.dtype
        dtypes.append(dtype)
        made = decode(latents.to(dtype), *args, **more)[0]
        return (made.float() if dtype == torch.float32 else made.float() * float("inf"),)

    monkeypatch.setattr(vae, "decode", overflowing)
    vae.to(torch.bfloat16)
    try:
        reply = paint(engine)
        assert dtypes == [torch.bfloat16, torch.float32]
        assert vae.dtype == torch.bfloat16
    finally:
        vae.to(torch.float32)
    assert distance(reply.pictures[0].image, good) <= 24
    monkeypatch.setattr(vae, "decode", lambda *a, **k: (decode(*a, **k)[0] * float("nan"),))
    with pytest.raises(NonFinite, match="decoding"):
        paint(engine)


def test_a_black_picture_is_told(engine, monkeypatch):
    decode = engine.pipe.vae.decode
    monkeypatch.setattr(engine.pipe.vae, "decode", lambda *a, **k: (decode(*a, **k)[0] * 0 - 1,))
    reply = paint(engine)
    assert reply.notes == ("The picture is black everywhere. Try another seed.",)
    assert not reply.pictures[0].flagged


def test_a_picture_that_the_safety_checker_blacked_out_is_flagged(tmp_path):
    engine = tiny_image.engine("stable-diffusion-safe")
    assert engine.abilities.safety_checker
    reply = paint(engine, images=2)
    assert all(picture.flagged and decoding.is_black(picture.image) for picture in reply.pictures)
    assert reply.notes[0] == "Picture 1 was blacked out by the model's safety checker. Try another seed."
    assert reply.ended == "complete"
