"""What an image page says, and the settings that a link carries."""

from __future__ import annotations

import pytest
from PIL import Image

from zerokit.blocks import canvas
from zerokit.blocks.image_link import record_of
from zerokit.calls import Beat, Outcome, Usage
from zerokit.control import Progress
from zerokit.errors import CallKilled, QuotaExceeded, Stopped
from zerokit.requests import ImageReply, Picture


def reply(count=1, **facts):
    pictures = tuple(Picture(Image.new("RGB", (64, 48)), 7 + i) for i in range(count))
    return ImageReply(pictures, **{"steps": 20, "steps_asked": 20, "seconds": 3.21, **facts})


def test_progress_says_the_step_and_the_time_left():
    said = canvas.pending(Beat("running", Progress(5, 20, "Painting"), elapsed_s=2.0))
    assert "Painting · step 5 of 20 · about 6 s left" in said
    assert 'value="0.250"' in said


def test_the_time_left_is_never_more_than_what_is_reserved():
    said = canvas.pending(Beat("running", Progress(1, 20, "Painting"), elapsed_s=2.0, left_s=9.0))
    assert "about 9 s left" in said


@pytest.mark.parametrize(("phase", "words"), [("waiting", "Waiting for a GPU"), ("waking", "Waking the GPU")])
def test_before_it_runs(phase, words):
    assert words in canvas.pending(Beat(phase))


def test_the_line_under_pictures():
    said = canvas.done(Outcome(reply(4), "complete", Usage(2, 3, 3, used_s=1.84, ran=True)))
    assert "4 pictures · 64 × 48 · 20 steps · seeds 7 to 10 · 3.2\u00a0s" in said
    assert "GPU: reserved 3 s, used 1.8 s." in said


def test_a_picture_of_fewer_steps_says_so():
    made = reply(steps=9, ended="deadline", notes=("Only 9 of 20 steps fitted.",))
    said = canvas.done(Outcome(made, "complete", Usage()))
    assert "9 steps" in said
    assert "ended early with the reserved GPU time" in said
    assert "Only 9 of 20 steps fitted." in said


def test_pictures_and_what_went_wrong_after_them_are_both_told():
    said = canvas.done(Outcome(reply(2), "interrupted", Usage(), CallKilled("The process died.")))
    assert "2 pictures" in said
    assert 'role="alert"' in said


def test_stopped_before_there_was_anything():
    assert "Stopped before" in canvas.done(Outcome(None, "stopped", Usage(), Stopped("You stopped it.")))


def test_what_others_wrote_is_never_markup():
    said = canvas.failed(QuotaExceeded("<img src=x onerror=alert(1)> & more"))
    assert "<img" not in said
    assert "&lt;img" in said
    said = canvas.done(Outcome(reply(notes=("<script>1</script>",)), "complete", Usage()))
    assert "<script" not in said


def test_a_link_brings_settings():
    size = {"width": "64", "height": "96"}
    record = record_of({"prompt": "a «red» circle 🎈", "steps": "12", "guidance": "3.5", "seed": "7", **size})
    assert record is not None
    assert (record.prompt, record.steps, record.guidance, record.seed) == ("a «red» circle 🎈", 12, 3.5, 7)
    assert (record.width, record.height) == (64, 96)


@pytest.mark.parametrize("query", [{}, {"prompt": "  "}, {"steps": "4"}, {"__theme": "dark"}])
def test_an_address_without_a_prompt_is_none(query):
    assert record_of(query) is None


@pytest.mark.parametrize(
    "bad",
    [
        {"steps": "nan"},
        {"steps": "-1"},
        {"steps": "9" * 5000},
        {"guidance": "inf"},
        {"seed": "1e9"},
        {"width": "7"},
        {"strength": "2"},
        {"negative_prompt": "\ud800"},
    ],
)
def test_what_does_not_fit_in_a_link_is_left_out(bad):
    plain = record_of({"prompt": "a"})
    assert record_of({"prompt": "a", **bad}) == plain
