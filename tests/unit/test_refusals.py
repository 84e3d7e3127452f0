"""Every refusal of the real client of `spaces`, in our words."""

from __future__ import annotations

import json
import types
from datetime import timedelta

import gradio as gr
import httpx
import pytest
from spaces.zero import client
from spaces.zero.api import APIClient
from spaces.zero.config import get_config
from spaces.zero.gradio import error

from zerokit import errors
from zerokit.calls import to_gradio
from zerokit.calls.refusals import translate

pytestmark = [
    pytest.mark.filterwarnings("ignore:Error while"),
    pytest.mark.filterwarnings("ignore:ZeroGPU"),
]
INSIDE = ("token", "proxy", "worker", "stream", "schedule", "429", "Error", "http", "[", "<", "example", "None")


class Headers(dict):
    """As `spaces` wants them: with attributes of their own."""


def refusal(answer, *, header=True, size=None, from_page=True, duration_s=60):
    """What the real client raises when the scheduler answers so."""
    get_config()
    transport = httpx.MockTransport(answer)
    api, client.api_client = (
        client.api_client,
        lambda: APIClient(httpx.Client(transport=transport, base_url="http://zero")),
    )
    headers = Headers({"x-ip-token": "a.e30.c"} if header else {})
    if from_page:
        headers["x-gradio-user"] = "app"
    cgroup, client.utils.self_cgroup_device_path = client.utils.self_cgroup_device_path, lambda: "/"
    try:
        client.schedule(1, types.SimpleNamespace(headers=headers), timedelta(seconds=duration_s), size)
    except Exception as exc:  # noqa: BLE001  all of them are what is tested
        return exc
    finally:
        client.api_client, client.utils.self_cgroup_device_path = api, cgroup
    raise AssertionError("The client accepted it.")


def quota(left=12, wait=3600.0, result="quota-exceeded", auth="regular"):
    headers = {"X-Approve-Result": result, **({"X-Authenticated": auth} if auth else {})}
    return lambda _: httpx.Response(429, json={"left": left, "wait": wait}, headers=headers)


def events(text):
    return lambda _: httpx.Response(200, content=text, headers={"content-type": "text/event-stream"})


def status(code):
    return lambda _: httpx.Response(code)


def broken(exc):
    def answer(_):
        raise exc

    return answer


def check(raised, kind, *words, granted=False):
    ours = translate(raised, granted=granted)
    assert type(ours) is kind
    assert ours.__cause__ is raised
    for word in words:
        assert word in ours.message, ours.message
    for word in INSIDE:
        assert word not in str(ours), str(ours)
    shown = to_gradio(ours)
    assert isinstance(shown, gr.Error)
    assert shown.title == kind.title


@pytest.mark.parametrize("from_page", [True, False])
@pytest.mark.parametrize("auth", [None, "regular", "pro"])
def test_too_few_seconds_left(auth, from_page):
    raised = refusal(quota(auth=auth), from_page=from_page)
    requested = round(60 * get_config()["duration_factor"])
    check(raised, errors.QuotaExceeded, f"reserves {requested} s", "12 s left", "in 1 h 0 min")


def test_the_whole_card_counts_twice():
    check(refusal(quota(), size="xlarge"), errors.QuotaExceeded, "reserves 120 s")


@pytest.mark.parametrize(
    ("wait", "said"),
    [
        (1, "in 1 min"),
        (60, "in 1 min"),
        (61.5, "in 2 min"),
        (3599, "in 1 h 0 min"),
        (5400.25, "in 1 h 30 min"),
        (86_400, "in 24 h 0 min"),
        (100_000, "in 27 h 47 min"),
    ],
)
def test_when_it_comes_back_is_rounded_up(wait, said):
    check(refusal(quota(wait=wait)), errors.QuotaExceeded, said)


def test_less_than_nothing_left_is_nothing():
    check(refusal(quota(left=-30)), errors.QuotaExceeded, "have 0 s left")


@pytest.mark.parametrize("from_page", [True, False])
def test_no_runs_left(from_page):
    check(refusal(quota(wait=0, result="runs-exceeded"), from_page=from_page), errors.RunsExceeded)


@pytest.mark.parametrize("auth", [None, "regular", "pro"])
@pytest.mark.parametrize("from_page", [True, False])
def test_too_long_for_one_call(auth, from_page):
    raised = refusal(quota(wait=-1, result="illegal-duration", auth=auth), from_page=from_page, duration_s=400)
    check(raised, errors.DurationTooLong, f"{round(400 * get_config()['duration_factor'])} s")


def test_credits_in_use():
    check(refusal(quota(result="pending-overquota-exceeded")), errors.CreditsPending)


def test_a_visitor_without_the_header():
    check(refusal(quota(), header=False), errors.NotIdentified)


@pytest.mark.parametrize("header", [True, False])
def test_no_gpu_in_time(header):
    check(refusal(events("event: failed\n\n"), header=header), errors.QueueTimeout, "60 s")


def test_no_gpu_at_all():
    check(refusal(status(503)), errors.PlatformUnavailable)


def test_a_header_that_is_too_old():
    ours = translate(refusal(status(401)))
    assert type(ours) is errors.SignInExpired


@pytest.mark.parametrize(
    "answer",
    [
        status(404),
        status(500),
        events("event: surprise\n\n"),
        events("event: succeeded\ndata: {}\n\n"),
        events("hello"),
        events(""),
        lambda _: httpx.Response(200, content="<html>"),
        lambda _: httpx.Response(200, json={"idle": 1}),
        lambda _: httpx.Response(429, json={"left": "many"}),
        lambda _: httpx.Response(429, json={"left": 1, "wait": 1}, headers={"X-Authenticated": "king"}),
        broken(httpx.ConnectError("refused")),
        broken(httpx.ReadTimeout("slow")),
        broken(httpx.RemoteProtocolError("gone")),
    ],
    ids=[
        "404", "500", "event", "no data", "no event", "no events", "html", "other json", "no quota", "no level",
        "refused", "slow", "gone",
    ],
)  # fmt: skip
def test_whatever_else_a_scheduler_does_is_the_platforms(answer):
    check(refusal(answer), errors.PlatformUnavailable)


def test_headers_that_cannot_be_read():
    with pytest.raises(gr.Error) as caught:
        client._get_headers(types.SimpleNamespace(headers=None))
    check(caught.value, errors.NotIdentified)


@pytest.mark.parametrize("when", ["while queueing", "on queue success"])
def test_leaving_the_queue(when):
    check(RuntimeError(f"Connection closed by visitor {when}"), errors.Stopped)


def test_what_the_wrappers_raise():
    check(error("ZeroGPU worker error", "GPU task aborted"), errors.CallKilled, granted=True)
    check(error("ZeroGPU worker error", "RuntimeError"), errors.FunctionFailed, granted=True)
    check(error("ZeroGPU worker error", "OutOfMemoryError"), errors.OutOfMemory, granted=True)
    check(RuntimeError("Error while re-trying after queue disconnect"), errors.PlatformUnavailable)
    check(RuntimeError("Unexpected end of stream"), errors.PlatformUnavailable)
    check(BrokenPipeError(32, "Broken pipe"), errors.CallKilled, granted=True)
    check(json.JSONDecodeError("x", "y", 0), errors.FunctionFailed, granted=True)
