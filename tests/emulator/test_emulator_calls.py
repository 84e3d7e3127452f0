"""GPU calls of plain apps: the real `spaces`, its real wire, real workers."""

from __future__ import annotations

import os

import pytest
from gradio_client.exceptions import AppError
from plain_world import until


def test_a_call_is_cold_then_warm_in_the_same_worker(world):
    first = world.client("plain", "free:warm").predict(2.0, api_name="/predict")
    again = world.client("plain", "free:warm").predict(2.0, api_name="/predict")
    cold, warm = world.z.calls[-2:]
    assert first == again
    assert first["name"].startswith("NVIDIA RTX PRO 6000")
    assert cold.app == "local/plain"
    assert (cold.visitor, cold.declared_s, cold.sent_s, cold.reserved_s) == ("free:warm", 10, 15, 15)
    assert (warm.cold, warm.pids, warm.outcome) == (False, cold.pids, "done")
    assert world.z.visitor("free:warm").runs_left == 6
    assert cold.pids[0] in world.z.workers


def test_without_a_header_everybody_is_the_visitor_of_the_run(world):
    world.client("plain").predict(1.0, api_name="/predict")
    assert world.z.calls[-1].visitor == "free"
    assert world.client("plain").predict(api_name="/whoami") == world.z.header("free")["x-ip-token"]


def test_a_generator_streams_and_closing_it_frees_the_gpu(world):
    client = world.client("plain", "pro")
    job = client.submit(200, api_name="/stream")
    until(lambda: len(job.outputs()) >= 2)
    job.cancel()
    until(lambda: not world.z.leases)
    call = world.z.calls[-1]
    assert (call.outcome, call.used_s < 5) == ("done", True)


def test_a_call_that_outlives_its_reservation_is_killed(world):
    with pytest.raises(AppError, match="GPU task aborted"):
        world.client("plain", "pro").predict(30, 1, api_name="/hold")
    call = world.z.calls[-1]
    assert (call.outcome, call.granted_s) == ("killed", 2)
    assert 2 <= call.used_s < 5
    assert call.pids[0] not in world.z.workers


def test_reserving_more_than_is_left_is_refused_with_the_numbers(world):
    world.z.set_left("free:poor", 14)
    with pytest.raises(AppError, match=r"free ZeroGPU quota \(15s requested vs. 14s left\). Try again in "):
        world.client("plain", "free:poor").predict(1.0, api_name="/predict")
    assert world.z.calls[-1].refused == "seconds"
    world.z.advance(24 * 3600)
    world.client("plain", "free:poor").predict(1.0, api_name="/predict")


def test_runs_and_caps_are_refused_in_the_words_of_spaces(world):
    world.z.set_runs("anonymous:spent", 0)
    with pytest.raises(AppError, match="runs limit"):
        world.client("plain", "anonymous:spent").predict(1.0, api_name="/predict")
    with pytest.raises(AppError, match=r"duration \(122s\) is larger than the maximum"):
        world.client("plain", "anonymous:spent").predict(0, 81, api_name="/hold")


def test_two_gpus_serve_two_calls_and_the_third_waits(world):
    # Made ahead: a client takes a while to connect.
    hold, stream, third = (
        world.client("plain", "free:a"),
        world.client("plain", "free:b"),
        world.client("probe", "free:c"),
    )
    jobs = [hold.submit(3.0, 5, api_name="/hold"), stream.submit(60, api_name="/stream")]
    until(lambda: len(world.z.leases) == 2)
    third.predict(api_name="/threads")
    for job in jobs:
        job.result()
    waited = next(c for c in world.z.calls if c.visitor == "free:c")
    assert (waited.outcome, waited.queued_s > 0.1) == ("done", True)
    assert {c.gpu for c in world.z.calls[-3:]} == {0, 1}


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("seconds", "quota"),
        ("runs", "runs limit"),
        ("cap", "larger than the maximum"),
        ("credits", "too many ZeroGPU credits"),
        ("401", "Expired ZeroGPU proxy token"),
        ("503", "No GPU was available"),
        ("queue-timeout", "No GPU was available after 60s"),
        ("kill:0", "GPU task aborted"),
    ],
)
def test_a_fault_reaches_the_visitor_as_on_the_platform(world, fault, says):
    world.z.set_faults(f"{fault}@1")
    with pytest.raises(AppError, match=says):
        world.client("plain", "pro").predict(0.2, 5, api_name="/hold")
    assert world.z.calls[-1].fault == fault


@pytest.mark.parametrize(("fault", "in_the_log"), [("refused@1", "ConnectError"), ("cut-queue", "queue disconnect")])
def test_a_scheduler_that_goes_away(world, fault, in_the_log):
    world.z.set_faults(fault)
    with pytest.raises(AppError):
        world.client("plain", "pro").predict(1.0, api_name="/predict")
    world.wait_for_log("plain", in_the_log)


@pytest.mark.parametrize("fault", ["cut-queue@1", "queue:0.5@1"])
def test_what_spaces_itself_survives(world, fault):
    world.z.set_faults(fault)
    world.client("plain", "pro").predict(1.0, api_name="/predict")
    assert world.z.calls[-1].outcome == "done"


def test_faults_in_the_worker(world):
    client = world.client("probe", "pro")
    world.z.set_faults("oom@2", "oom-always@3", "nan@4", "slow:0.2@5")
    clean, once, always, nan, slow = (client.predict(2, api_name="/forward") for _ in range(5))
    assert clean == slow
    assert once == [-1, clean[1]]
    assert always == [-1, -1]
    assert nan == [None, None]
    assert world.z.calls[-1].used_s >= 0.4
    assert client.predict(2, api_name="/forward") == clean
    assert len({pid for call in world.z.calls[-6:] for pid in call.pids}) == 1


def test_an_app_that_ends_at_once_says_why(world, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit('no such model')")
    with pytest.raises(RuntimeError, match=r"exit code 1\.\nno such model"):
        world.z.run(broken)
    with pytest.raises(FileNotFoundError, match="There is no file"):
        world.z.run(tmp_path / "app.py")


def test_the_workers_of_an_app_are_children_of_it_alone(world):
    world.client("plain", "pro").predict(1.0, api_name="/predict")
    (pid,) = world.z.calls[-1].pids
    assert os.getpgid(pid) == world.apps["plain"].process.pid


def test_an_app_can_be_stopped_alone(world, tmp_path):
    quiet = tmp_path / "quiet.py"
    quiet.write_text("import time\ntime.sleep(600)\n")
    app = world.z.start(quiet)
    app.stop()
    app.stop()
    assert app.process.returncode is not None
    assert world.apps["plain"].process.poll() is None
