"""How calls end early: closed, stopped, left by their visitor, or without a word from the other side."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
import time

import gradio as gr
import pytest
from gradio.context import LocalContext
from gradio.queueing import Event

import zerokit
from zerokit.calls import Beat, Outcome, Usage, seam
from zerokit.calls.call import Call
from zerokit.calls.duration import Estimator
from zerokit.calls.pump import Pump
from zerokit.calls.worker import work
from zerokit.control import Control
from zerokit.control import current as current_control
from zerokit.errors import CallKilled, PlatformUnavailable, Stopped


class Noted(Estimator):
    def __init__(self):
        self.told = threading.Event()
        self.seen = []

    def observe(self, args, kwargs, usage, value, finished):
        self.seen.append((usage, value, finished))
        self.told.set()


class Endless:
    """A function that runs until it is told to stop, and says when that was."""

    def __init__(self):
        self.began, self.noticed, self.release = threading.Event(), threading.Event(), threading.Event()

    def polite(self):
        self.began.set()
        try:
            while not self.release.wait(0.01):
                zerokit.progress(made="so far")
        finally:
            self.noticed.set()

    def stepwise(self):
        self.began.set()
        try:
            while not self.release.wait(0.01):
                yield "so far"
        finally:
            self.noticed.set()

    def deaf(self):
        self.began.set()
        assert self.release.wait(30)
        return "late"


@pytest.fixture
def endless():
    it = Endless()
    yield it
    it.release.set()


def until_made(beats) -> Beat:
    return next(beat for beat in beats if isinstance(beat, Beat) and beat.made is not None)


@pytest.mark.parametrize("kind", ["polite", "stepwise"])
def test_closing_ends_the_function(endless, kind):
    notes = Noted()
    beats = zerokit.gpu(duration=notes)(getattr(endless, kind)).beats()
    assert until_made(beats).made == "so far"
    beats.close()
    assert endless.noticed.wait(10)
    assert notes.told.wait(10)
    ((usage, value, finished),) = notes.seen
    assert (usage.ran, value, finished) == (True, "so far", False)


def test_closing_does_not_wait_for_a_function_that_does_not_listen(endless):
    beats = zerokit.gpu(endless.deaf).beats()
    next(beats)
    assert endless.began.wait(10)
    started = time.monotonic()
    beats.close()
    assert time.monotonic() - started < 10
    assert not endless.release.is_set()


def test_closing_in_gradios_event_loop_does_not_hold_it(endless):
    notes = Noted()
    beats = zerokit.gpu(duration=notes)(endless.deaf).beats()
    next(beats)
    assert endless.began.wait(10)

    async def close():
        beats.close()
        return notes.told.is_set()

    assert asyncio.run(close()) is False  # the function listens to nothing for half a second
    assert notes.told.wait(10)


def test_beats_that_are_never_begun_make_no_call():
    called = []
    beats = zerokit.gpu(lambda: called.append(1)).beats()
    beats.close()
    assert called == []


def test_stop_gives_what_was_made(endless):
    stop = threading.Event()
    beats = zerokit.gpu(endless.polite).stopped_by(stop).beats()
    until_made(beats)
    stop.set()
    *_, outcome = beats
    assert isinstance(outcome, Outcome)
    assert (outcome.value, outcome.ended, type(outcome.failure)) == ("so far", "stopped", Stopped)
    assert endless.noticed.wait(10)


def test_closing_after_the_outcome_settles_once():
    notes = Noted()
    beats = zerokit.gpu(duration=notes)(lambda: 1).beats()
    for beat in beats:
        if isinstance(beat, Outcome):
            break
    beats.close()
    assert len(notes.seen) == 1


def test_stop_that_comes_too_late_changes_nothing():
    stop = threading.Event()

    def quick():
        stop.set()
        return "whole"

    *_, outcome = zerokit.gpu(quick).stopped_by(stop).beats()
    assert outcome.value in ("whole", None)
    assert outcome.ended == ("complete" if outcome.value else "stopped")


class Page:
    """An event of a real Gradio queue, running."""

    def __init__(self):
        with gr.Blocks() as self.demo:
            gr.Button().click(lambda: None)
        self.event = Event("session", self.demo.fns[0], None, None)  # type: ignore[arg-type]
        self.messages = queue.SimpleQueue()
        self.demo._queue.active_jobs = [None, [self.event]]
        self.demo._queue.pending_messages_per_session["session"] = self.messages

    def run(self, function):
        context = contextvars.copy_context()
        context.run(LocalContext.blocks.set, self.demo)
        context.run(LocalContext.event_id.set, self.event._id)
        return context.run(function)

    def cancel(self):
        self.demo._queue.active_jobs[1] = None

    def close(self):
        self.event.alive = False


@pytest.mark.parametrize("leave", ["cancel", "close"])
def test_a_visitor_who_leaves_ends_the_call(endless, leave):
    page = Page()

    def handler():
        beats = zerokit.gpu(endless.polite).beats()
        until_made(beats)
        getattr(page, leave)()
        *_, outcome = beats
        return outcome

    outcome = page.run(handler)
    assert (outcome.ended, outcome.value) == ("stopped", "so far")
    assert endless.noticed.wait(10)


def test_a_plain_handler_ends_with_its_visitor(endless):
    page = Page()
    timer = threading.Timer(0.3, page.cancel)
    timer.start()
    with pytest.raises(gr.Error, match="You stopped it"):
        page.run(zerokit.gpu(endless.deaf))
    timer.join()
    endless.release.set()


def test_stop_leaves_the_page_alive(endless):
    page, stop = Page(), threading.Event()

    def handler():
        beats = zerokit.gpu(endless.polite).stopped_by(stop).beats()
        until_made(beats)
        stop.set()
        *_, outcome = beats
        return outcome

    assert page.run(handler).ended == "stopped"
    assert page.event.alive  # or Gradio would drop the answer


def test_a_call_that_is_watched_from_another_thread_has_not_lost_its_visitor():
    page, seen = Page(), []
    beats = page.run(lambda: zerokit.gpu(lambda: time.sleep(0.5) or "whole").beats())
    page.run(lambda: next(beats))
    thread = threading.Thread(target=lambda: seen.extend(beats))
    thread.start()
    thread.join()
    assert seen[-1].value == "whole"


def test_in_the_queue_spaces_sees_an_event_that_ends_with_the_call(monkeypatch):
    from spaces.zero.gradio import get_event, get_queue_instance

    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    page, queued, alive = Page(), threading.Event(), []

    def waiting_line(call):
        event = get_event()
        alive.append(event.alive)
        get_queue_instance().log_message(page.event._id, "Waiting", "ZeroGPU queue", "info")
        queued.set()
        while event.alive:
            time.sleep(0.01)
        alive.append(event.alive)
        raise RuntimeError("Connection closed by visitor while queueing")
        yield

    def handler():
        pump = Pump(waiting_line, Call("f", (), {}))
        pump.start()
        assert queued.wait(10)
        pump.close()
        return pump.next(10)

    assert "closed by visitor" in str(page.run(handler).error)
    assert alive == [True, False]
    assert page.event.alive
    assert page.messages.get(timeout=5).log == "Waiting"


def outcome_of(door, *, granted_s=None, granted_at=None, estimator=None) -> Outcome:
    call = Call("f", (), {}, granted_s=granted_s, granted_at=granted_at)
    *_, outcome = seam.Seam(door, call, Usage(granted_s=granted_s), estimator or Estimator(), None).beats()
    return outcome


def register(function):
    return zerokit.gpu(function).key


def test_an_answer_in_hand_does_not_wait_for_a_release_that_hangs(monkeypatch):
    monkeypatch.setattr("zerokit.calls.pump.CLOSE_PATIENCE_S", 0.1)
    release, key = threading.Event(), register(lambda: "whole")

    def door(_):
        yield from work(Call(key, (), {}))
        assert release.wait(30)

    try:
        outcome = outcome_of(door)
    finally:
        release.set()
    assert (outcome.value, outcome.failure) == ("whole", None)


def test_an_answer_in_hand_is_not_lost_when_the_release_fails():
    key = register(lambda: "whole")

    def door(_):
        yield from work(Call(key, (), {}))
        raise RuntimeError("ZeroGPU API /release error: 500 (Internal Server Error)")

    outcome = outcome_of(door)
    assert (outcome.value, outcome.ended, outcome.failure) == ("whole", "complete", None)


def test_a_call_of_which_nothing_is_heard_after_its_kill_is_ended(monkeypatch):
    monkeypatch.setattr(seam, "LOST_AFTER_S", 0.0)
    monkeypatch.setattr("zerokit.calls.pump.CLOSE_PATIENCE_S", 0.1)
    release = threading.Event()

    def door(_):
        assert release.wait(30)
        yield

    try:
        outcome = outcome_of(door, granted_s=1, granted_at=time.monotonic() - 2)
    finally:
        release.set()
    assert (outcome.ended, type(outcome.failure)) == ("interrupted", CallKilled)
    assert (outcome.usage.overran, outcome.usage.began) == (True, False)


@pytest.mark.parametrize("began", [False, True])
@pytest.mark.parametrize(("after_s", "late"), [(5.0, True), (4.9, True), (4.5, False), (0.0, False)])
def test_who_dies_when_the_time_is_over_had_too_little_and_who_dies_before_did_not(began, after_s, late):
    def door(_):
        if began:
            yield next(iter(work(Call(register(lambda: time.sleep(0.1)), (), {}))))
        raise gr.Error("GPU task aborted", title="ZeroGPU worker error")

    notes = Noted()
    outcome = outcome_of(door, granted_s=5, granted_at=time.monotonic() - after_s, estimator=notes)
    usage = notes.seen[0][0]
    assert usage == outcome.usage
    assert (usage.overran, usage.lost, usage.began) == (late, True, began)
    assert (usage.cold_s == usage.used_s) is not began


def test_stop_while_it_wakes_is_no_end_of_the_time():
    stop, release = threading.Event(), threading.Event()

    def door(_):
        release.wait(0.5)
        yield from ()

    stop.set()
    notes = Noted()
    call = Call("f", (), {}, granted_s=5, granted_at=time.monotonic() - 5)
    *_, outcome = seam.Seam(door, call, Usage(granted_s=5), notes, stop).beats()
    assert outcome.ended == "stopped"
    assert notes.told.wait(5)
    usage = notes.seen[0][0]
    assert (usage.overran, usage.lost, usage.began, usage.work_s) == (False, False, False, 0)


def test_a_worker_that_dies_leaves_what_was_made():
    def slowly():
        zerokit.progress(made="half of it")
        time.sleep(0.5)

    key = register(slowly)

    def door(_):
        for signal in work(Call(key, (), {})):
            yield signal
            if signal.made:
                raise gr.Error("GPU task aborted", title="ZeroGPU worker error")

    outcome = outcome_of(door)
    assert (outcome.value, outcome.ended, type(outcome.failure)) == ("half of it", "interrupted", CallKilled)


def test_a_door_that_ends_without_a_word_is_a_killed_call():
    def door(_):
        yield from ()

    outcome = outcome_of(door)
    assert (outcome.ended, type(outcome.failure)) == ("interrupted", CallKilled)


def test_whatever_a_door_raises_before_the_grant_is_the_platforms():
    def door(_):
        raise AssertionError("event: surprise")
        yield

    outcome = outcome_of(door)
    assert type(outcome.failure) is PlatformUnavailable
    assert outcome.usage.ran is False


def test_a_visitor_who_left_the_queue_has_stopped():
    def door(_):
        raise RuntimeError("Connection closed by visitor while queueing")
        yield

    outcome = outcome_of(door)
    assert (outcome.ended, type(outcome.failure)) == ("stopped", Stopped)


def test_control_says_why_work_must_end():
    control = Control()
    assert (control.stop_reason(), control.left_s) == (None, float("inf"))
    control.cancel()
    assert control.stop_reason() == "stopped"
    late = Control(time.monotonic() - 1)
    assert (late.stop_reason(), late.left_s) == ("deadline", 0.0)
    assert current_control() is None


class Painter:
    """A function that makes something of what it has when it is stopped."""

    def __init__(self, *, last_touch_s: float = 0.0):
        self.last_touch_s = last_touch_s
        self.release = threading.Event()

    def paint(self):
        control = current_control()
        assert control is not None
        while control.stop_reason() is None and not self.release.wait(0.01):
            control.report(made="a sketch")
        self.release.wait(self.last_touch_s)
        return "a picture"


def test_stop_with_grace_lets_the_function_give_what_it_has(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    stop = threading.Event()
    beats = zerokit.gpu(Painter().paint).stopped_by(stop, grace_s=20).beats()
    until_made(beats)
    assert list(tmp_path.iterdir()) == []
    stop.set()
    *_, outcome = beats
    assert (outcome.value, outcome.ended, outcome.failure) == ("a picture", "complete", None)
    assert list(tmp_path.iterdir()) == []


def test_stop_does_not_wait_longer_than_its_grace():
    painter, stop = Painter(last_touch_s=60), threading.Event()
    beats = zerokit.gpu(painter.paint).stopped_by(stop, grace_s=0.5).beats()
    until_made(beats)
    stop.set()
    *_, outcome = beats
    painter.release.set()
    assert (outcome.value, outcome.ended, type(outcome.failure)) == ("a sketch", "stopped", Stopped)


def test_a_function_that_raises_stopped_within_its_grace_keeps_what_was_made(endless):
    stop = threading.Event()
    beats = zerokit.gpu(endless.polite).stopped_by(stop, grace_s=20).beats()
    until_made(beats)
    stop.set()
    *_, outcome = beats
    assert (outcome.value, outcome.ended, type(outcome.failure)) == ("so far", "stopped", Stopped)
