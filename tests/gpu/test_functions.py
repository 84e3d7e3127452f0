"""What goes wrong on a real card: memory that is really full, a card that faults, work that does not listen."""

from __future__ import annotations

import time

import pytest
from card_world import APPS, Apps, until
from gradio_client.exceptions import AppError

from zerokit.emulator import ZeroGPU


@pytest.fixture(scope="module")
def functions(scratch):
    with ZeroGPU("pro", gpus=1, record=scratch / "calls.jsonl") as z:
        apps = Apps(z, [APPS / "functions.py"], scratch)
        yield apps
        apps.close()


@pytest.fixture
def app(functions):
    """The app; whatever a test did to it, it works afterwards and holds nothing."""
    assert functions.ask("functions", "look")["sum"] == sum(range(1024))
    yield functions
    assert functions.ask("functions", "look")["sum"] == sum(range(1024))
    assert functions.last.outcome == "done"


@pytest.mark.parametrize("how", ["fill", "too_large"])
def test_memory_that_is_full_is_told_of_and_given_back(app, how):
    before = app.ask("functions", "look")
    with pytest.raises(AppError) as caught:
        app.ask("functions", how)
    assert caught.value.title == "Too large for the GPU"
    assert "more memory than the GPU has free" in caught.value.message
    assert " GiB in all" in caught.value.message
    after = app.ask("functions", "look")
    assert (app.last.cold, after["pid"]) == (False, before["pid"])
    assert after["allocated"] == before["allocated"]


def test_a_fault_of_the_card_costs_its_worker_alone(app):
    before = app.ask("functions", "look")
    with pytest.raises(AppError) as caught:
        app.ask("functions", "out_of_bounds")
    assert "The GPU reported an error and was reset" in caught.value.message
    assert "device-side assert" in app.running["functions"].log()
    after = app.ask("functions", "look")
    assert (app.last.cold, after["pid"] != before["pid"]) == (True, True)


def test_tensors_come_back_on_the_cpu(app):
    seen = app.ask("functions", "found")
    assert seen == {"devices": ["cpu", "cpu"], "values": [[0.0, 1.0, 2.0], [1.0, 2.0]]}


def test_stop_frees_the_card_and_keeps_the_worker(app):
    pid = app.ask("functions", "look")["pid"]
    job = app.client("functions").submit(30, 40, api_name="/busy")
    until(lambda: app.z.leases)
    time.sleep(1.0)
    job.cancel()
    assert until(lambda: app.z.leases == []) < 3
    assert app.last.used_s < 5
    assert app.ask("functions", "look")["pid"] == pid


def test_work_in_pieces_ends_at_its_deadline_with_what_it_has(app):
    made = app.ask("functions", "busy", 30, 2)
    assert made > 0
    assert app.last.outcome == "done"
    assert app.last.used_s < 3.5


def test_work_that_hears_nothing_ends_at_its_deadline_too(app):
    with pytest.raises(AppError) as caught:
        app.ask("functions", "deaf")
    assert caught.value.title == "Out of time"
    assert "GPU task aborted" not in caught.value.message
    assert app.last.used_s < 3.8
