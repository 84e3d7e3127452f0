"""What calls teach that were not done in time, through the real worker: the next one gets more, and it is kept."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from chat_world import APPS, until, world
from gradio_client.exceptions import AppError


def ask(space, name, *args):
    return space.client("pro").predict(*args, api_name=f"/{name}")


def granted(space, name):
    return space.client().predict(name, api_name="/reserves")[0]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def running(home):
    with world(APPS / "estimates.py", env={"ZEROKIT_HOME": str(home), "DEAF_S": "4"}) as space:
        yield space


@pytest.fixture
def space(running):
    """The app on a new day, without a worker, and what happened before it forgotten."""
    running.new_day()
    yield running
    running.new_day()
    running.settle()


def kept(home, name):
    return json.loads((home / "durations.json").read_text())["kinds"][name]


def test_a_cold_start_that_outlasts_its_reservation_gets_more_until_it_fits(space, home):
    space.z.set_faults("cold:4")
    had = []
    while len(had) < 6:
        had.append(granted(space, "polite"))
        try:
            assert ask(space, "polite", 0.1) == 6
            break
        except AppError as exc:
            assert exc.title == "The GPU call was interrupted"  # noqa: PT017
            assert kept(home, "polite")["least_cold_s"] >= 2 * had[-1]
    assert [call.outcome for call in space.z.calls] == ["killed"] * (len(had) - 1) + ["done"]
    assert 2 <= len(had) <= 4
    assert all(later >= 2 * earlier for earlier, later in pairwise(had))
    space.z.set_faults()
    assert ask(space, "polite", 0.1) == 6
    assert (space.last.cold, space.last.granted_s <= 3) == (False, True)  # the worker is there
    facts = kept(home, "polite")
    assert 4 <= facts["cold_s"][0] < 9
    assert facts["calls"][0][-1] < 2


def test_a_function_that_outlasts_its_reservation_gets_more_until_it_fits(space, home):
    had = []
    while len(had) < 6:
        had.append(granted(space, "deaf"))
        try:
            assert ask(space, "deaf") == 6
            break
        except AppError:
            assert max(kept(home, "deaf")["least"]) > 0
    assert 2 <= len(had) <= 5
    assert all(later > earlier for earlier, later in pairwise(had))
    assert {call.outcome for call in space.z.calls} <= {"done", "failed", "killed", "lost"}
    assert granted(space, "deaf") <= 12


def test_what_was_stopped_refused_or_killed_by_something_else_teaches_nothing(space, home):
    assert ask(space, "polite", 0.3) == 6
    kept_before = kept(home, "polite")
    space.z.set_faults("kill:0.02@1", "seconds@2", "503@3", "queue-timeout@4")
    for _ in range(4):
        with pytest.raises(AppError):
            ask(space, "polite", 0.3)
    space.z.set_faults("cold:30")
    job = space.client("pro").submit(0.1, api_name="/polite")
    until(lambda: space.z.leases)
    job.cancel()
    until(lambda: space.z.leases == [], 30)  # a worker that wakes hears nothing: it is killed when its time is over
    space.z.set_faults()
    facts = kept(home, "polite")
    for name in ("calls", "least", "cold_s", "least_cold_s"):
        assert facts[name] == kept_before[name]
    assert ask(space, "polite", 0.1) == 6
