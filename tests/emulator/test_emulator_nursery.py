"""An app that is forked from the nursery is the app that it would be by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from zerokit.emulator import nursery, processes

APP = """
import os, random, sys, time
early = [name for name in ("torch", "pandas", "gradio", "huggingface_hub", "transformers") if name in sys.modules]
import numpy, tempfile
print(sys.argv[1:], __name__, __file__)
print(os.environ["COLOUR"], "HOME" in os.environ, os.getcwd(), tempfile.gettempdir())
print(os.getpid() == os.getpgrp() == os.getsid(0), sys.stdin.read() == "")
print(random.random(), numpy.random.random())
print(early)
print("an error", file=sys.stderr)
end = sys.argv[1]
if end == "wait":
    time.sleep(600)
if end == "raise":
    raise LookupError("no such thing")
sys.exit(int(end))
"""


@pytest.fixture(scope="module")
def env():
    return {**os.environ, "ZEROKIT_EMULATOR_URL": "http://127.0.0.1:9", "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="module")
def home(env):
    home = nursery.Nursery(env)
    yield home
    home.close()


@pytest.fixture
def app(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "app.py"
    file.write_text(APP)
    return file


def said(process):
    with process.stdout:
        return process.stdout.read().decode().splitlines()


def test_it_has_its_own_arguments_environment_folder_session_and_chance(home, env, app):
    only = {**{name: value for name, value in env.items() if name != "HOME"}, "TMPDIR": str(app.parent)}
    red, blue = (home.start([str(app), "3", colour], {**only, "COLOUR": colour}) for colour in ("red", "blue"))
    lines = said(red), said(blue)
    assert (red.wait(20), blue.wait(20), red.poll()) == (3, 3, 3)
    for colour, made in zip(("red", "blue"), lines, strict=True):
        assert made[0] == f"['3', '{colour}'] __main__ {app}"
        assert made[1] == f"{colour} False {app.parent} {app.parent}"
        assert made[2] == "True True"
        assert made[5] == "an error"
    assert len({*lines[0][3].split(), *lines[1][3].split()}) == 4


def test_what_keeps_the_environment_of_its_import_is_not_there_before(home, env, app):
    process = home.start([str(app), "0"], {**env, "COLOUR": "red"})
    assert said(process)[4] == "['torch', 'pandas']"
    assert process.wait(20) == 0


def test_an_error_of_its_own_and_a_signal_are_told_as_of_any_process(home, env, app):
    failed = home.start([str(app), "raise"], {**env, "COLOUR": "red"})
    lines = said(failed)
    assert lines[-1] == "LookupError: no such thing"
    assert failed.wait(20) == 1
    ended = home.start([str(app), "wait"], {**env, "COLOUR": "red"})
    assert ended.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        ended.wait(0.1)
    ended.terminate()
    said(ended)
    assert ended.wait(20) == -signal.SIGTERM
    ended.kill()  # of nothing any more


def test_with_other_variables_for_python_or_torch_it_starts_by_itself(home, env):
    assert home.suits({**env, "HF_HOME": "/elsewhere", "SPACE_ID": "me/x"})
    assert not home.suits({**env, "OMP_NUM_THREADS": "7"})
    assert not home.suits({name: value for name, value in env.items() if name != "PYTHONUNBUFFERED"})


def test_the_first_app_starts_by_itself_and_those_after_it_from_a_nursery(env, app, monkeypatch):
    monkeypatch.setattr(nursery, "_nursery", None)
    monkeypatch.setattr(nursery, "_started", 0)

    def started(**more):
        process = nursery.start([str(app), "0"], {**env, "COLOUR": "red", **more})
        said(process)
        assert process.wait(20) == 0
        return type(process)

    nursery.expect(1)
    assert started() is subprocess.Popen
    assert [started(), started()] == [nursery.Forked] * 2
    assert started(ZEROKIT_EMULATOR_CARD="a real one") is subprocess.Popen
    nursery._nursery.process.kill()
    nursery._nursery.process.wait()
    assert started() is subprocess.Popen


def test_where_several_are_expected_the_first_is_from_there_too(env, app, monkeypatch):
    monkeypatch.setattr(nursery, "_nursery", None)
    monkeypatch.setattr(nursery, "_started", 0)
    nursery.expect(4)
    process = nursery.start([str(app), "0"], {**env, "COLOUR": "red"})
    said(process)
    assert isinstance(process, nursery.Forked)
    assert process.wait(20) == 0
    nursery._nursery.close()


def test_it_ends_with_its_apps_when_it_is_closed(env, app):
    home = nursery.Nursery(env)
    process = home.start([str(app), "wait"], {**env, "COLOUR": "red"})
    assert processes.alive(process.pid)
    home.close()
    give_up_at = time.monotonic() + 10
    while processes.alive(process.pid) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert not processes.alive(process.pid)
    assert process.wait(1) == -signal.SIGKILL
    process.stdout.close()
