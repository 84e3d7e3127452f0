"""The call of a Space that runs: a real Gradio app, behind a door as a Space's host has one."""

from __future__ import annotations

import gradio as gr
import pytest
from deploy_hub_host import serve_app

from zerokit.deploy import errors, smoke

OPEN = ("BUILDING", "RUNNING")


def greet(name: str) -> str:
    """Answer a text."""
    if name != "Hello":
        raise gr.Error("Only Hello is understood", title="Not understood")
    return f"{name}, you"


def fail(name: str) -> str:
    """Fail, and say why."""
    raise gr.Error(f"No <b>{name}</b> today", title="Closed")


def add(a: float, b: float) -> float:
    """Needs numbers."""
    return a + b


def app_with(*functions):
    with gr.Blocks() as app:
        for function in functions:
            gr.api(function, api_name=function.__name__)
    return app


@pytest.fixture
def space(hub, me):
    """me/app, private, with a host that lets only those in who come with a pass of the Hub."""

    def begin(*functions, **how):
        space = hub.space("me/app", requested="zero-a10g", next_build=OPEN, **how)
        host = opened.enter(app_with(*functions), hub, space)
        space.host = host.url
        return host

    with serve_app() as opened:
        yield begin


@pytest.mark.parametrize("private", [True, False])
def test_a_space_is_called_and_its_host_never_sees_the_token(space, me, run, folder, private):
    host = space(greet, private=private)
    code, out, err = run("deploy", folder, "--space", "me/app")
    assert (code, err) == (0, "")
    assert "Call its first endpoint that needs nothing but text, on your own ZeroGPU quota" in out
    assert '/greet(name="Hello")' in out
    assert "It answered." in out
    assert host.calls == ["/greet"]
    assert host.asked
    assert not any(me.token in str(seen) for seen in host.asked)
    assert not any("authorization" in name for seen in host.asked for name in seen["headers"])


def test_a_host_that_lets_nobody_in(space, hub, run, folder):
    space(greet, private=True)
    hub.fault("GET", "/jwt$", 404)
    code, _, err = run("deploy", folder, "--space", "me/app")
    assert code == 1
    assert errors.SmokeFailed.title in err
    assert "does not answer" in err


def test_an_answer_that_is_an_error(space, run, folder):
    space(fail)
    code, _, err = run("deploy", folder, "--space", "me/app")
    assert code == 1
    assert errors.SmokeFailed.title in err
    assert '/fail(name="Hello") ended with "Closed": No <b>Hello</b> today' in err


def test_nothing_is_called_that_needs_more_than_text(space, run, folder):
    host = space(add)
    code, out, _ = run("deploy", folder, "--space", "me/app")
    assert code == 0
    assert "no endpoint takes text alone, so none was called" in out
    assert host.calls == []


def test_an_app_that_does_not_answer(hub, me, run, folder):
    hub.space("me/app", requested="zero-a10g", next_build=OPEN, host="http://127.0.0.1:9")
    code, _, err = run("deploy", folder, "--space", "me/app")
    assert code == 1
    assert "its app at http://127.0.0.1:9 does not answer" in err


@pytest.mark.parametrize("host", ["", "ftp://me-app.hf.space", "javascript:alert(1)"])
def test_an_address_that_is_none(hub, me, host):
    with pytest.raises(errors.SmokeFailed, match="no safe address"):
        smoke.Visit(client(hub), "me/app", host)


def test_a_pass_is_not_given_to_a_host_without_https(hub, me):
    api = client(hub)
    api.endpoint = "https://huggingface.co"
    with pytest.raises(errors.SmokeFailed, match="no safe address"):
        smoke.Visit(api, "me/app", "http://me-app.hf.space")


def client(hub):
    from zerokit.deploy.hub import connect

    return connect()


@pytest.mark.parametrize(
    ("endpoints", "call"),
    [
        ({}, None),
        ({"/a": {"parameters": [{"parameter_name": "x", "type": {"type": "number"}}]}}, None),
        ({"/a": {"parameters": [{"parameter_name": "x", "type": {}}]}}, None),
        ({"/a": {"parameters": []}}, "/a()"),
        ({"/clear_all": {"parameters": []}, "/Delete": {"parameters": []}}, None),
        ({"/a": {"parameters": [{"parameter_name": "x", "parameter_has_default": True}]}}, "/a()"),
        (
            {
                "/a": {"parameters": [{"parameter_name": "x", "type": {"type": "number"}}]},
                "/b": {"parameters": [{"parameter_name": "y", "type": {"type": "string"}}]},
                "/c": {"parameters": []},
            },
            '/b(y="Hello")',
        ),
    ],
)
def test_the_first_endpoint_that_text_is_enough_for(endpoints, call):
    chosen = smoke.choose({"named_endpoints": endpoints})
    assert (None if chosen is None else str(chosen)) == call
