"""An event that fails says so, whatever it failed of, and nothing of what went wrong inside."""

from pathlib import Path

import gradio as gr
import pytest
from fastapi import applications
from fastapi.testclient import TestClient
from gradio import queueing, utils
from gradio.routes import App

from zerokit.blocks import wordless
from zerokit.blocks.waiting import let_wait


@pytest.fixture
def gradio(monkeypatch):
    """Gradio as it was before any block of ours."""
    monkeypatch.setattr(queueing, "error_payload", wordless._of_gradio)
    monkeypatch.setattr(utils, "error_payload", wordless._of_gradio)
    monkeypatch.setattr(queueing.Queue, "push", wordless._push)
    monkeypatch.setattr(applications, "request_validation_exception_handler", wordless._invalid)


@pytest.mark.usefixtures("gradio")
def test_a_block_gives_words_to_what_gradio_has_none_for():
    error = ValueError("Cannot move /home/someone/secret.txt")
    assert queueing.error_payload(error, False)["error"] is None
    let_wait(gr.Blocks(analytics_enabled=False))
    for said in (queueing.error_payload(error, False), utils.error_payload(None, False)):
        assert said["title"] == "This did not work"
        assert "try again" in said["error"]
        assert "secret" not in str(said)


@pytest.mark.usefixtures("gradio")
def test_what_is_said_to_visitors_stays():
    let_wait(gr.Blocks(analytics_enabled=False))
    said = queueing.error_payload(gr.Error("Too long.", title="No", print_exception=False), False)
    assert (said["title"], said["error"]) == ("No", "Too long.")
    assert queueing.error_payload(ValueError("shown to developers"), True)["error"] == "shown to developers"


@pytest.mark.usefixtures("gradio")
@pytest.mark.parametrize("words", [False, True])
def test_an_event_that_is_turned_away_tells_no_path(words):
    with gr.Blocks(analytics_enabled=False) as demo:
        text = gr.Textbox()
        gr.Button().click(str, text, text, validator=lambda _: gr.validate(True, ""))
    if words:
        let_wait(demo)
    file = {"path": "", "meta": {"_type": "gradio.FileData"}}
    asked = {"data": [file], "fn_index": 0, "session_hash": "a"}
    reply = TestClient(App.create_app(demo)).post("/gradio_api/queue/join", json=asked)
    assert reply.status_code == 400
    assert (str(Path.cwd()) in reply.text) is not words
    assert (wordless.TITLE in reply.text) is words


@pytest.mark.usefixtures("gradio")
@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN", "1"])
def test_a_body_that_is_none_with_a_number_without_an_end(number):
    with gr.Blocks(analytics_enabled=False) as demo:
        gr.Button().click(str, None, gr.Textbox(), api_name="say")
    let_wait(demo)
    reply = TestClient(App.create_app(demo)).post(
        "/gradio_api/run/say", content=f'{{"size": {number}}}', headers={"content-type": "application/json"}
    )
    assert reply.status_code == 422
    (said,) = reply.json()["detail"]
    assert said["loc"] == ["body", "data"]
    assert ("input" in said) is (number == "1")
