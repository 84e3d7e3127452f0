"""The stand-in as a program: what is deployed to it runs, and answers the call at the end of a deployment."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zerokit.deploy import wait

STAND_IN = Path(__file__).with_name("deploy_hub.py")
APP = """
import gradio as gr

import zerokit


@zerokit.gpu(duration=5)
def shout(text: str) -> str:
    return text.upper() + "!"


with gr.Blocks() as demo:
    gr.api(shout, api_name="shout")

demo.launch()
"""


@pytest.fixture
def program(monkeypatch):
    """Serves until the test ends; what it prints at its start is set."""
    monkeypatch.setattr(wait, "POLL_S", 0.2)
    process = subprocess.Popen([sys.executable, STAND_IN], stdout=subprocess.PIPE, text=True)
    for variable in shlex.split(process.stdout.readline())[1:]:
        monkeypatch.setenv(*variable.split("=", 1))
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.timeout(300)
def test_what_is_deployed_runs_and_what_ends_says_why(program, run, folder):
    (folder / "app.py").write_text(APP)
    code, out, err = run("deploy", folder, "--space", "me/app")
    assert (code, err) == (0, "")
    assert '/shout(text="Hello")' in out
    assert "It answered." in out
    (folder / "app.py").write_text(APP.replace("demo.launch()", "raise SystemExit('That was all')"))
    code, out, err = run("deploy", folder, "--space", "me/app")
    assert code == 1
    assert "That was all" in out + err
    program.send_signal(signal.SIGTERM)
    rest, _ = program.communicate(timeout=30)
    assert '"me/app"' in rest
    assert program.returncode == 0
