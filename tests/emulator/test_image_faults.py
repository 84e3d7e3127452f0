"""What goes wrong while pictures are made, in the real worker: what is saved, what is said, what comes after."""

import json
import sys

import pytest
from chat_world import until
from image_world import APPS, DETAILS, image_world, same
from PIL import Image

sys.path.append(str(APPS))

import faulty_widths as at


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    with image_world("faulty.py", tmp_path_factory.mktemp("faulty"), gpus=2) as space:
        yield space


@pytest.fixture
def images(space):
    """The app on a new day; whatever a test did to it, it works afterwards and holds nothing."""
    space.new_day()
    yield space
    space.new_day()
    assert space.paint("and now?", steps=1, width=at.ROOMY)["ended"] == "complete"
    space.settle()
    assert len(space.z.workers) <= 2


# Refused.

REFUSALS = {
    "seconds": ("Not enough GPU time left", ["This reserves", "you have 0 s left", "comes back in"]),
    "runs": ("No runs left today", ["Come back when your runs do"]),
    "cap": ("Too long for one call", [" s of GPU time", "waiting does not help"]),
    "credits": ("Your credits are in use", ["once your other tasks have finished"]),
    "queue-timeout": ("All GPUs are busy", ["60 s", "Try again in a minute"]),
    "cut-queue": ("No GPU available", ["connection", "Try again in a minute"]),
    "401": ("Your visit has expired", ["Reload the page"]),
    "503": ("No GPU available", ["Try again in a minute"]),
    "refused": ("No GPU available", ["does not answer", "Try again in a minute"]),
}


@pytest.fixture(scope="module")
def refusing(space):
    """For refusals, after which there is nothing to clear up but once."""
    yield space
    space.new_day()
    assert space.paint("and now?", steps=1, width=at.ROOMY)["ended"] == "complete"
    space.settle()


@pytest.mark.parametrize("fault", REFUSALS)
def test_every_refusal_is_explained_and_costs_no_seconds(refusing, fault):
    refusing.new_day()
    left = refusing.z.visitor("free").left_s
    refusing.z.set_faults(fault)
    title, words = REFUSALS[fault]
    error = refusing.refused()
    assert error.title == title
    for word in words:
        assert word in error.message
    assert refusing.last.gpu is None
    assert refusing.last.charged_s == 0
    assert refusing.z.visitor("free").left_s == left


def test_a_queue_that_is_cut_once_is_asked_again(images):
    images.z.set_faults("cut-queue@1")
    assert images.paint(steps=1, width=at.ROOMY)["ended"] == "complete"
    assert [call.outcome for call in images.z.calls[-2:]] == ["cut-queue", "done"]


def test_a_visitor_who_cannot_pay_is_told_before_a_run_is_lost(images):
    images.z.set_left("free", 0)
    before, runs = len(images.z.calls), images.z.visitor("free").runs_left
    error = images.refused(signed_in=True)
    assert error.title == "Not enough GPU time left"
    assert "0 s left" in error.message
    assert (len(images.z.calls), images.z.visitor("free").runs_left) == (before, runs)


# Ended early.


def is_cut_in_time(made, call, asked):
    """A picture with fewer steps, and nobody was killed."""
    (record,) = made.records
    return (
        made["ended"] == "deadline"
        and 1 <= made["steps"] == record.steps_made < asked == record.steps
        and any("steps fitted into the reserved time" in note for note in made["notes"])
        and call.outcome == "done"
        and call.used_s < call.granted_s
    )


def test_steps_that_are_slower_than_was_reserved_for_give_a_picture_of_fewer(images):
    images.z.set_faults("slow:0.2@1")
    made = images.paint(steps=60, width=at.HASTY)
    assert is_cut_in_time(made, images.last, 60), made.details


def test_a_visitor_with_little_left_gets_a_picture_of_fewer_steps(images):
    images.z.set_left("free", 6)
    images.z.set_faults("slow:0.1@1")
    made = images.paint(steps=200, width=at.ROOMY, signed_in=True)
    assert images.last.reserved_s <= 6
    assert is_cut_in_time(made, images.last, 200), made.details


def test_a_worker_that_dies_before_there_is_a_picture(images):
    images.z.set_faults("kill:0.3@1")
    error = images.refused(steps=150, width=at.ROOMY)
    assert error.title == "The GPU call was interrupted"
    assert "Please try again" in error.message
    assert images.last.outcome != "done"
    assert "GPU task aborted" in images.app.log()


def test_a_worker_that_dies_leaves_the_pictures_that_were_made(images):
    before = len(images.z.calls)
    made = images.paint(images=4, width=at.DIES, seed=1, steps=at.STEPS)
    assert (made["ended"], made["seeds"]) == ("interrupted", [1, 2])
    assert [record.seed for record in made.records] == [1, 2]
    assert len(images.z.calls) == before + 1


def test_a_program_that_cancels_frees_the_gpu(images):
    images.z.set_faults("slow:0.2@1")
    job = images.client().submit("a red circle", steps=50, width=at.ROOMY, api_name="/generate")
    until(lambda: images.z.leases, 30)
    job.cancel()
    assert until(lambda: images.z.leases == [], 30) < 10


# Memory and numbers.


def test_a_batch_that_is_too_large_is_halved_within_the_call(images):
    alone = images.paint(width=at.BATCH, seed=3)
    before = len(images.z.calls)
    made = images.paint(images=4, width=at.BATCH, seed=1)
    assert (made["ended"], made["seeds"], made["steps"]) == ("complete", [1, 2, 3, 4], at.STEPS)
    assert len(images.z.calls) == before + 1
    assert same(made.pictures[2], alone.pictures[0])


def test_a_decoder_that_is_too_large_works_one_by_one(images):
    made = images.paint(images=3, width=at.DECODER, seed=1)
    assert (made["ended"], made["seeds"]) == ("complete", [1, 2, 3])
    assert len({picture.tobytes() for picture in made.pictures}) == 3


def test_memory_that_runs_out_once_is_made_do_with(images):
    usual = images.paint(seed=1, width=at.SMALL)
    images.z.set_faults("oom@1")
    made = images.paint(seed=1, width=at.SMALL)
    assert images.last.fault == "oom"
    assert same(made.pictures[0], usual.pictures[0], tolerance=2)


@pytest.mark.parametrize("count", [1, 4])
def test_memory_that_never_suffices(images, count):
    pids = images.last.pids
    error = images.refused(images=count, width=at.NEVER)
    assert error.title == "Too large for the GPU"
    assert f"one picture of {at.NEVER}x32" in error.message
    assert "3.25 GiB" in error.message
    assert "smaller" in error.message
    assert "OutOfMemoryError: CUDA out of memory" in images.app.log()
    assert images.paint(steps=1, width=at.ROOMY)["ended"] == "complete"
    assert images.last.pids == pids  # the worker is as good as before


@pytest.mark.parametrize("width", [at.NAN, at.NAN_DECODER], ids=["steps", "decoder"])
def test_a_model_that_computes_nan(images, width):
    error = images.refused(width=width)
    assert error.title == "The model lost its way"
    assert "NaN" in error.message
    assert "another" in error.message
    assert "zerokit.errors.NonFinite" in images.app.log()


# Several visitors.


def test_two_visitors_at_once_get_their_own_pictures(images):
    asked = {"free:ann": ("a red circle", 1), "free:bob": ("a blue square", 2)}
    alone = {n: images.paint(prompt, seed=seed, width=at.ROOMY) for n, (prompt, seed) in asked.items()}
    images.z.set_faults("slow:0.3")
    jobs = {
        name: images.client(name).submit(prompt, seed=seed, width=at.ROOMY, api_name="/generate")
        for name, (prompt, seed) in asked.items()
    }
    until(lambda: len(images.z.leases) == 2, 30)
    for name, job in jobs.items():
        gallery, details = job.result(timeout=60)
        made = images.made(gallery, details)
        assert (made["seeds"], made.records) == (alone[name]["seeds"], alone[name].records)
        assert same(made.pictures[0], alone[name].pictures[0])
    assert {call.visitor for call in images.z.calls[-2:]} == set(asked)
    assert {call.gpu for call in images.z.calls[-2:]} == {0, 1}


def texts_of(file):
    with Image.open(file) as picture:
        return picture.text


def test_nothing_of_a_visitor_is_written_anywhere(images):
    images.z.set_left("free:ann", 217)
    ann = images.paint("a red circle", visitor="free:ann", signed_in=True, seed=1)
    images.refused("", visitor="free:ann", signed_in=True)
    images.z.set_faults("kill:0@1")
    images.refused(visitor="free:ann", signed_in=True)
    images.z.set_faults()
    bob = images.paint("a red circle", visitor="free:bob", signed_in=True, seed=1)
    assert set(ann.details) == set(bob.details) == DETAILS
    who = images.z.visitor("free:ann")
    secrets = [*who.header.values(), who.token, "free:ann"]
    written = [file.read_bytes() for file in [*images.temp.rglob("*"), *ann.files] if file.is_file()]
    assert any(data.startswith(b"\x89PNG") for data in written)
    for secret in secrets:
        assert secret not in images.app.log()
        assert secret not in json.dumps([bob.details, bob.captions, [str(file) for file in bob.files]])
        assert not any(secret.encode() in data for data in written)
    texts = json.dumps([texts_of(file) for file in [*ann.files, *bob.files]])
    assert "a red circle" in texts
    assert not any(word in texts for word in ("217", "left_s", "quota", "reserved", "ann"))
