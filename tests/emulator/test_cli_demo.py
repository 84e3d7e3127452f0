"""`zerokit demo`: what a newcomer's first two commands do."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request

import pytest
from PIL import Image

from zerokit import cli
from zerokit.embedded.image_evaluate import background_of, colour_of
from zerokit.pictures.record import read_png

START_S = 240.0


def run(capsys, *args):
    """The command's exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["demo", *args])
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


def test_a_question_is_answered_in_the_terminal_with_its_price(capsys):
    code, out, err = run(capsys, "chat", "--ask", "What is ZeroGPU?")
    answer, _, price = out.strip().rpartition("\n")
    assert (code, err) == (0, "")
    assert "GPU" in answer
    assert re.search(r"reserved \d+ s · used [\d.]+ s · done · [\d.]+ s left, 7 runs$", price)
    assert "SPACES_ZERO_GPU_DEBUG" not in out


def test_a_picture_is_painted_in_the_terminal_with_its_price(capsys, tmp_path):
    file = tmp_path / "red.png"
    code, out, err = run(
        capsys, "diffusion", "--prompt", "a red circle on a white background", "--seed", "7", "--out", str(file)
    )
    assert (code, err) == (0, "")
    made, _, price = out.strip().partition("\n")
    assert made.endswith("red.png: 64 x 64, 10 steps, seed 7")
    assert re.search(r"reserved \d+ s · used [\d.]+ s · done", price)
    record = read_png(file)
    assert record is not None
    assert (record.prompt, record.seed, record.model) == ("a red circle on a white background", 7, "embedded")
    with Image.open(file) as picture:
        assert (colour_of(picture), background_of(picture)) == ("red", "white")


def test_a_question_is_answered_with_an_adapter(capsys):
    code, out, err = run(capsys, "lora", "--ask", "What is ZeroGPU?", "--adapter", "pirate")
    assert (code, err) == (0, "")
    assert "Arr" in out
    assert re.search(r"reserved \d+ s · used [\d.]+ s · done", out)


@pytest.mark.parametrize(
    ("asked", "adapter", "hint"),
    [
        ("--ask", "pirat=0.5", 'There is no adapter "pirat". Did you mean "pirate"?'),
        ("--ask", "outline", 'There is no adapter "outline". There are: pirate, terse.'),
        ("--prompt", "outlines", 'There is no adapter "outlines". Did you mean "outline"?'),
    ],
)
def test_an_adapter_that_is_not_there_gets_the_nearest_before_anything_is_started(
    capsys, monkeypatch, asked, adapter, hint
):
    monkeypatch.setattr("zerokit.emulator.ZeroGPU", None)
    code, out, err = run(capsys, "lora", asked, "Hello", "--adapter", adapter)
    assert (code, out) == (1, "")
    assert hint in " ".join(err.split())


def test_a_question_that_is_too_long_is_an_error_in_words(capsys):
    code, out, err = run(capsys, "chat", "--ask", "Why? " * 30_000)
    assert (code, out) == (1, "")
    assert err.startswith("Please check your input\nThe message has 150,000 characters")
    assert "Traceback" not in err


@pytest.fixture
def served():
    """`zerokit demo` in a terminal of its own, and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "zerokit", "demo", "--port", str(port), "--as", "pro"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    patience = threading.Timer(START_S, process.kill)
    patience.start()
    said = ""
    for line in process.stdout:
        said += line
        if "Ctrl+C" in line:
            break
    yield process, said, f"http://127.0.0.1:{port}"
    patience.cancel()
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.timeout(300)
def test_the_page_is_where_it_says_until_it_is_stopped(served):
    process, said, url = served
    assert url in said
    assert "/spaces/local/chat" in said
    assert "/spaces/local/diffusion" in said
    assert "/spaces/local/lora_text" in said
    assert "You are a visitor (pro) with 2400 s of GPU time for today." in said
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=20) as answer:
        assert "ZeroKit chat" in answer.read().decode()
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Stopped." in rest
    assert "Traceback" not in said + rest
    with pytest.raises(OSError, match=r"refused"):
        opener.open(url, timeout=5)
