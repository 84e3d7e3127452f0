"""Pictures that must be finished before the reserved time ends, or were stopped."""

import inspect
import math
import types
import weakref

import diffusers
import pytest
import test_engine_image as pictures
import tiny_image
import torch
from test_engine_image import ALL, Listening, asked, distance, paint, photo

from zerokit.control import Control
from zerokit.engines import abilities, denoising
from zerokit.engines.image_loading import quiet


class Clock(Control):
    """A call whose time passes only while the model works."""

    def __init__(self, left: float = math.inf) -> None:
        super().__init__()
        self.now, self.end = 0.0, left
        self.runs = 0

    @property
    def left_s(self) -> float:
        return max(0.0, self.end - self.now)

    def stop_reason(self):
        return super().stop_reason() or ("deadline" if self.now >= self.end else None)


@pytest.fixture
def clocked(monkeypatch):
    """Makes every run of a denoiser last a second, and every decoding two."""

    def start(engine, left: float) -> Clock:
        clock = Clock(left)
        forward, decode = engine.denoiser.forward, engine.pipe.vae.decode

        def slow_forward(*args, **more):
            clock.now += 1
            clock.runs += 1
            return forward(*args, **more)

        def slow_decode(*args, **more):
            clock.now += 2
            return decode(*args, **more)

        monkeypatch.setattr(engine.denoiser, "forward", slow_forward)
        monkeypatch.setattr(engine.pipe.vae, "decode", slow_decode)
        monkeypatch.setattr(denoising, "time", types.SimpleNamespace(monotonic=lambda: clock.now))
        return clock

    return start


# Deadlines


def test_what_fits_is_not_cut(clocked):
    clock = clocked(tiny_image.engine(), 22)
    reply = paint(tiny_image.engine(), control=clock, steps=20)
    assert (reply.ended, reply.steps, reply.notes, clock.now) == ("complete", 20, (), 22)


@pytest.mark.parametrize(("family", "mode"), ALL)
def test_too_many_steps_are_started_again_with_those_that_fit(family, mode, clocked):
    engine = tiny_image.engine(family)
    prepared = engine.prepare(asked(mode, steps=20, strength=1))
    clock = clocked(engine, 12)
    reply = engine.generate(prepared, clock)
    assert (reply.ended, reply.steps, reply.steps_asked) == ("deadline", 7, 20)
    assert reply.notes == ("Only 7 of 20 steps fitted into the reserved time.",)
    assert clock.now <= 12
    assert distance(reply.pictures[0].image, paint(engine, mode, steps=7, strength=1).pictures[0].image) <= 1


def test_with_a_picture_only_a_part_of_the_steps_must_fit(clocked):
    engine = tiny_image.engine("flux")
    clock = clocked(engine, 11)
    reply = paint(engine, "image", control=clock, steps=20, strength=0.8)
    assert (reply.ended, reply.steps, reply.steps_asked) == ("deadline", 6, 16)
    assert clock.now <= 11


@pytest.mark.parametrize(("family", "mode"), ALL)
def test_where_too_few_would_fit_the_picture_seen_so_far_is_taken(family, mode, clocked):
    engine = tiny_image.engine(family)
    prepared = engine.prepare(asked(mode, steps=20, strength=1))
    clock = clocked(engine, 6)
    reply = engine.generate(prepared, clock)
    assert (reply.ended, reply.steps, len(reply.pictures)) == ("deadline", 4, 1)
    assert (clock.runs, clock.now) == (4, 6)
    if mode == "inpaint":
        assert distance(reply.pictures[0].image.crop((16, 0, 32, 32)), photo().crop((16, 0, 32, 32))) == 0


def test_time_that_has_ended_asks_nothing_of_the_model(clocked):
    clock = clocked(tiny_image.engine(), 0)
    reply = paint(tiny_image.engine(), control=clock)
    assert (reply.ended, reply.pictures, reply.steps, clock.runs) == ("deadline", (), 0, 0)
    assert reply.notes == ("The reserved time ended before a picture could be made.",)


@pytest.mark.parametrize(("family", "mode"), ALL)
def test_a_second_step_that_does_not_fit_is_not_begun(family, mode, clocked, monkeypatch):
    """Steps so slow that one is all there is time for: a poor picture, and not none."""
    engine = tiny_image.engine(family)
    monkeypatch.setattr(denoising, "_have_run", weakref.WeakSet([engine.denoiser]))
    prepared = engine.prepare(asked(mode, steps=20, strength=1))
    clock = clocked(engine, 3.9)
    reply = engine.generate(prepared, clock)
    assert (reply.ended, reply.steps, len(reply.pictures)) == ("deadline", 1, 1)
    assert (clock.runs, clock.now) == (1, 3)
    assert reply.notes == ("Only 1 of 20 steps fitted into the reserved time.",)


def test_the_first_run_of_a_process_is_slow_and_no_measure_of_the_others(clocked, monkeypatch):
    engine = tiny_image.engine()
    monkeypatch.setattr(denoising, "_have_run", weakref.WeakSet())
    prepared = engine.prepare(asked("text", steps=5))
    clock = clocked(engine, 11)
    usual = engine.denoiser.forward

    def starting(*args, **more):
        if clock.runs == 0:
            clock.now += 4
        return usual(*args, **more)

    monkeypatch.setattr(engine.denoiser, "forward", starting)
    reply = engine.generate(prepared, clock)
    assert (reply.ended, reply.steps, clock.now) == ("complete", 5, 11)
    clock.now, clock.runs = 0, 0
    assert engine.generate(prepared, clock).ended == "deadline"  # now it is believed


def halving(engine, monkeypatch, rows):
    """Memory for so many rows (a picture is two, with guidance)."""
    slow = engine.denoiser.forward

    def small(sample, *args, **more):
        return pictures.out_of_memory() if sample.shape[0] > rows else slow(sample, *args, **more)

    monkeypatch.setattr(engine.denoiser, "forward", small)


@pytest.mark.parametrize("left", [4, 7, 11, 16, 25, 40])
@pytest.mark.parametrize(("images", "rows"), [(2, 2), (4, 4), (3, 2)])
def test_halves_end_with_a_picture_and_in_time_and_say_what_is_missing(images, rows, left, clocked, monkeypatch):
    engine = tiny_image.engine()
    monkeypatch.setattr(denoising, "_have_run", weakref.WeakSet([engine.denoiser]))
    clock = clocked(engine, left)
    halving(engine, monkeypatch, rows)
    reply = paint(engine, control=clock, steps=8, images=images)
    made = len(reply.pictures)
    assert 1 <= made <= images
    assert clock.now <= left
    assert [picture.seed for picture in reply.pictures] == [7 + n for n in range(made)]
    complete = made == images and reply.steps == 8
    assert reply.ended == ("complete" if complete else "deadline")
    assert (f"{made} of {images} pictures were made." in reply.notes) == (made < images)
    assert (f"Only {reply.steps} of 8 steps fitted into the reserved time." in reply.notes) == (reply.steps < 8)
    if left >= 10 * images * 2 / rows:
        assert complete
    if left >= 7 * images * 2 / rows:
        assert made == images


def test_halves_share_what_is_left(clocked, monkeypatch):
    engine = tiny_image.engine()
    clock = clocked(engine, 30)
    slow = engine.denoiser.forward

    def small(sample, *args, **more):
        return pictures.out_of_memory() if sample.shape[0] > 2 else slow(sample, *args, **more)

    monkeypatch.setattr(engine.denoiser, "forward", small)
    reply = paint(engine, control=clock, steps=20, images=2)
    assert [picture.seed for picture in reply.pictures] == [7, 8]
    assert (reply.ended, clock.now <= 30) == ("deadline", True)
    assert 8 <= reply.steps < 20
    clock.now, clock.end = 0, 6
    reply = paint(engine, control=clock, steps=4, images=4)
    assert 1 <= len(reply.pictures) < 4
    assert clock.now <= 7
    assert reply.notes[-1] == f"{len(reply.pictures)} of 4 pictures were made."


# Stop


@pytest.mark.parametrize(("family", "mode"), ALL)
def test_stop_in_the_middle_gives_the_picture_seen_so_far(family, mode, clocked):
    engine = tiny_image.engine(family)
    prepared = engine.prepare(asked(mode, steps=10, strength=1, images=2))
    clock = clocked(engine, math.inf)
    control = Listening(stop_after=5)
    reply = engine.generate(prepared, control)
    assert (reply.ended, reply.steps, len(reply.pictures), clock.runs) == ("stopped", 5, 2, 5)
    assert reply.notes == ("Stopped after 5 of 10 steps.",)


def test_stop_at_the_start_gives_none():
    engine = tiny_image.engine()
    reply = paint(engine, control=Listening(stop_after=2), steps=10)
    assert (reply.ended, reply.steps, reply.pictures, reply.notes) == ("stopped", 0, (), ())
    control = Control()
    control.cancel()
    assert paint(engine, control=control).pictures == ()


def test_stop_at_the_last_step_changes_nothing():
    engine = tiny_image.engine()
    reply = paint(engine, control=Listening(stop_after=4))
    assert (reply.ended, reply.steps, reply.notes) == ("complete", 4, ())


@pytest.mark.parametrize("scheduler", ["HeunDiscrete", "KDPM2Discrete", "PNDM", "DPMSolverSinglestep"])
def test_stop_counts_steps_not_runs_of_the_model(scheduler):
    reply = paint(tiny_image.engine(), control=Listening(stop_after=5), steps=10, scheduler=scheduler)
    assert (reply.ended, reply.steps) == ("stopped", 5)


# The picture that the model sees


def own_config(**settings):
    return diffusers.DDIMScheduler(clip_sample=False, **settings).config


TRAINED = {
    "epsilon": own_config(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
    "v": own_config(prediction_type="v_prediction"),
    "sample": own_config(prediction_type="sample"),
    "zero": own_config(prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing"),
}


@pytest.mark.parametrize("trained", TRAINED)
def test_the_clean_part_is_the_picture_for_every_scheduler(trained):
    """With a model that is always right: its schedulers end at the picture, and it is seen at every step."""
    config = TRAINED[trained]
    with quiet():
        known = abilities.schedulers(types.SimpleNamespace(scheduler=diffusers.DDIMScheduler.from_config(config)))
        assert {"DDIM", "EulerDiscrete", "DPMSolverMultistep"} <= set(known)
        for cls, scheduler in known.items():
            scheduler.set_timesteps(8)
            generator = torch.Generator().manual_seed(0)
            clean = torch.randn(1, 4, 4, 4, generator=generator)
            sample = torch.randn(1, 4, 4, 4, generator=generator) * scheduler.init_noise_sigma
            more = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
            for step in scheduler.timesteps:
                scheduler.scale_model_input(sample, step)
                output = denoising.perfect_output(scheduler, clean, step, sample)
                index, halfway = denoising._index(scheduler, step), denoising.is_halfway(scheduler)
                signal, noise = denoising.sigma_at(scheduler, step, index, halfway=halfway)
                seen = denoising.clean_part(scheduler, output, sample, signal, noise)
                # Where nothing of the picture is in the sample, no noise can say what it is.
                if signal > 1e-2 * noise or trained in ("sample", "zero", "v"):
                    assert (seen - clean).abs().max() < 0.05, (cls, step)
                sample = scheduler.step(output, step, sample, return_dict=False, **more)[0]
            assert (sample - clean).abs().mean() < 0.2, cls


@pytest.mark.parametrize("cls", [diffusers.DDIMScheduler, diffusers.DDPMScheduler, diffusers.EulerDiscreteScheduler])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_clean_part_is_what_diffusers_calls_the_original_sample(cls, kind):
    config = own_config(beta_schedule="scaled_linear", prediction_type=kind)
    scheduler = cls.from_config(config)
    scheduler.set_timesteps(10)
    generator = torch.Generator().manual_seed(0)
    sample, output = (torch.randn(1, 4, 8, 8, generator=generator) for _ in range(2))
    for step in scheduler.timesteps:
        scheduler.scale_model_input(sample, step)
        signal, noise = denoising.sigma_at(scheduler, step, denoising._index(scheduler, step))
        seen = denoising.clean_part(scheduler, output, sample, signal, noise)
        made = scheduler.step(output, step, sample)
        assert torch.allclose(seen, made.pred_original_sample, atol=1e-3 * float(seen.abs().max()))
        sample = made.prev_sample


@pytest.mark.parametrize("family", ["stable-diffusion", "flux", "stable-diffusion-3"])
def test_a_model_that_is_always_right_has_its_picture_at_any_step(family, monkeypatch):
    engine = tiny_image.engine(family)
    made = []
    pipeline = engine.pipeline
    monkeypatch.setattr(engine, "pipeline", lambda *args: (made.append(pipeline(*args)), made[-1])[1])
    clean = {}

    def right(hidden_states=None, timestep=None, *_args, **more):
        sample = more.get("sample", hidden_states)
        step = torch.as_tensor(timestep).flatten()[0]
        step = step * 1000 if family == "flux" else step
        picture = clean.setdefault("it", torch.rand_like(sample[:1]) - 0.5)
        scheduler = made[-1].scheduler
        return (denoising.perfect_output(scheduler, picture, scheduler.timesteps[at(scheduler, step)], sample),)

    def at(scheduler, step):
        return int((scheduler.timesteps - step).abs().argmin())

    monkeypatch.setattr(engine.denoiser, "forward", right)
    whole = paint(engine, steps=10, guidance=1)
    early = paint(engine, steps=10, guidance=1, control=Listening(stop_after=4))
    assert (early.ended, early.steps) == ("stopped", 4)
    assert distance(whole.pictures[0].image, early.pictures[0].image) <= 4
