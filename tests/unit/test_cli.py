"""The command line: quick help, and errors that say what to do. What a demo answers is in tests/emulator."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from zerokit import __version__, cli, errors
from zerokit.cli.demo import _ports

HEAVY = ("torch", "gradio", "transformers", "spaces", "gradio_client", "numpy", "uvicorn")


def run(capsys, *args):
    """The command's exit code, stdout and stderr."""
    try:
        cli.main(list(args))
        code = 0
    except SystemExit as exc:
        code = exc.code or 0
    said = capsys.readouterr()
    return code, " ".join(said.out.split()), " ".join(said.err.split())


@pytest.mark.parametrize(
    "args", [["--help"], ["demo", "--help"], ["dev", "--help"], ["new", "--help"], ["--version"], ["dmo"]]
)
def test_nothing_heavy_is_imported_before_it_is_needed(args):
    program = (
        "import sys\nfrom zerokit.cli import main\n"
        f"try:\n    main({args!r})\nexcept SystemExit:\n    pass\n"
        f"print('heavy:', [m for m in {HEAVY!r} if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "heavy: []" in ran.stdout


def test_python_m_zerokit_is_the_same_command():
    ran = subprocess.run(
        [sys.executable, "-m", "zerokit", "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout == f"zerokit {__version__}\n"


def test_help_names_every_command(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert "demo" in out
    assert "dev" in out


def test_without_arguments_there_is_help(capsys):
    _, out, err = run(capsys)
    assert "Usage: zerokit" in out + err


def test_an_unknown_command_gets_the_nearest(capsys):
    code, _, err = run(capsys, "dmo")
    assert code == 2
    assert "Did you mean 'demo'?" in err


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http"])
def test_a_port_is_a_number_that_can_be_one(capsys, port):
    code, _, err = run(capsys, "demo", "--port", port)
    assert code == 2
    assert "--port" in err


@pytest.mark.parametrize(
    ("args", "title", "said"),
    [
        (
            ["demo", "chta"],
            "This cannot work",
            "There is no demo 'chta': it is one of chat, diffusion, lora. Did you mean 'chat'?",
        ),
        (["demo", "--ask", ""], "Please check your input", "The question is empty."),
        (["demo", "chat", "--ask", " \n"], "Please check your input", "The question is empty."),
        (["demo", "diffusion", "--prompt", " "], "Please check your input", "The prompt is empty."),
        (["demo", "chat", "--prompt", "a circle"], "This cannot work", "--prompt is for images"),
        (["demo", "diffusion", "--ask", "Hello"], "This cannot work", "--ask is for the chat"),
        (["demo", "lora", "--ask", " "], "Please check your input", "The question is empty."),
        (["demo", "lora", "--adapter", "pirate"], "This cannot work", "--adapter goes with --ask or --prompt"),
        (["demo", "chat", "--ask", "Hi", "--adapter", "pirate"], "This cannot work", "zerokit demo lora --ask"),
        (["demo", "diffusion", "--prompt", "x", "--adapter", "outline"], "This cannot work", "zerokit demo lora"),
        (["demo", "lora", "--prompt", " ", "--adapter", "outline"], "Please check your input", "The prompt is empty."),
        (["demo", "lora", "--ask", "Hi", "--adapter", "pirate=x"], "This cannot work", "--adapter pirate=0.5, not 'x'"),
        (["demo", "--ask", "Hello", "--prompt", "a circle"], "This cannot work", "give one of them"),
        (["demo", "--out", "red.png"], "This cannot work", "--seed and --out go with --prompt"),
        (["demo", "--prompt", "a circle", "--out", "red.jpg"], "This cannot work", "a name that ends in .png"),
        (["demo", "--prompt", "a circle", "--out", "/no/such/red.png"], "This cannot work", "cannot be written"),
        (["demo", "--as", "fre", "--ask", "Hello"], "This cannot work", "Did you mean 'free'?"),
        (["demo", "--as", "fre", "--port", "0"], "", "--port"),
    ],
)
def test_an_error_says_what_happened_and_what_to_do(capsys, args, title, said):
    code, out, err = run(capsys, *args)
    assert code in (1, 2)
    assert title in err
    assert said in err
    assert out == ""
    assert "Traceback" not in err


def test_a_port_in_use_is_told_before_anything_starts(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, out, err = run(capsys, "demo", "--port", str(port))
    assert code == 1
    assert out == ""
    assert f"Port {port} is in use" in err
    assert "zerokit demo --port" in err


def test_a_port_in_use_after_the_first_is_passed_over():
    first = next(port for port in range(20_000, 30_000) if _ports(port, 3) == [port, port + 1, port + 2])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first + 1))
        taken.listen()
        assert _ports(first, 3)[:2] == [first, first + 2]


def test_too_few_ports_after_the_first_are_told():
    with pytest.raises(errors.UsageError, match=r"After port 65535 there are not 2 free ones"):
        _ports(65535, 3)


def test_any_error_of_zerokit_is_shown_as_title_message_and_advice(capsys, monkeypatch):
    def fail(*_, **__):
        raise errors.QueueTimeout("No GPU came free within [60] s.")

    monkeypatch.setattr(cli, "app", fail)
    code, out, err = run(capsys)
    assert (code, out) == (1, "")
    assert err == "All GPUs are busy No GPU came free within [60] s. Nothing was charged. Try again in a minute."
