"""`zerokit dev` from outside, with an app written without ZeroKit."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

APPS = Path(__file__).parent / "apps"


class Dev:
    """A `zerokit dev` and what it prints."""

    def __init__(self, *args: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "zerokit", "dev", *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # As in a terminal, also where these tests run in the background of a shell, which has it ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=lambda: self.lines.extend(self._read()))
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)
        return []

    def wait_for(self, pattern: str, timeout_s: float = 90) -> re.Match[str]:
        give_up_at = time.monotonic() + timeout_s
        while time.monotonic() < give_up_at:
            if found := re.search(pattern, "".join(self.lines)):
                return found
            if self.process.poll() is not None and not self._reader.is_alive():
                break
            time.sleep(0.05)
        raise AssertionError(f"no {pattern!r} in:\n{''.join(self.lines)}")

    def end(self, number: signal.Signals | None = None) -> int:
        if number is not None:
            self.process.send_signal(number)
        code = self.process.wait(timeout=30)
        self._reader.join(timeout=10)
        self.process.stdout.close()
        return code


def test_a_plain_chat_app_runs_is_refused_and_is_killed(tmp_path):
    record = tmp_path / "calls.jsonl"
    dev = Dev(str(APPS / "chat.py"), "--as", "anonymous", "--record", str(record))
    try:
        url = dev.wait_for(r"The app itself: (http://\S+)")[1]
        assert dev.wait_for(r"page: (http://127\.0\.0\.1:\d+/spaces/local/chat)")
        page = re.search(r"page: (http://127\.0\.0\.1:\d+)", "".join(dev.lines))[1]
        import httpx

        free = httpx.get(f"{page}/-/identity", params={"visitor": "free"}, trust_env=False).json()["token"]
        client = Client(url, verbose=False, analytics_enabled=False)
        with pytest.raises(AppError, match=r"duration \(180s\) is larger than the maximum allowed"):
            client.predict("hello", api_name="/chat")
        with pytest.raises(AppError, match="GPU task aborted"):
            client.predict(api_name="/never_done")
        client.close()
        client = Client(url, headers={"x-ip-token": free}, verbose=False, analytics_enabled=False)
        assert len(client.predict("hello", api_name="/chat")) == 40
        client.close()
        assert dev.wait_for(r"anonymous · reserved 180 s · refused: cap · 120 s left, 2 runs")
        assert dev.wait_for(r"anonymous · cold · reserved 2 s · used 2\.\d+ s · killed · 117\.\d s left, 1 runs")
        assert dev.wait_for(r"free · cold · reserved 180 s · used \d\.\d+ s · done · 299\.\d s left, 7 runs")
    finally:
        code = dev.end(signal.SIGINT)
    output = "".join(dev.lines)
    assert (code, "Stopped." in output, "SPACES_ZERO_GPU_DEBUG" in output) == (130, True, False)
    outcomes = [json.loads(line)["outcome"] for line in record.read_text().splitlines()]
    assert outcomes == ["refused:cap", "killed", "done"]
    assert "Traceback" not in output


def test_the_exit_code_and_the_arguments_are_the_apps(tmp_path):
    app = tmp_path / "app.py"
    (tmp_path / "helper.py").write_text("")
    app.write_text("import sys, helper\nprint('got', sys.argv[1:], __name__, __file__)\nsys.exit(int(sys.argv[1]))\n")
    dev = Dev(str(app), "--", "3", "--other")
    assert dev.end() == 3
    assert f"got ['3', '--other'] __main__ {app}" in "".join(dev.lines)


def test_an_app_does_not_outlive_its_emulator(tmp_path):
    app = tmp_path / "app.py"
    app.write_text("import os, time\nprint('pid', os.getpid())\ntime.sleep(600)\n")
    dev = Dev(str(app))
    pid = int(dev.wait_for(r"pid (\d+)")[1])
    dev.end(signal.SIGKILL)
    give_up_at = time.monotonic() + 10
    while time.monotonic() < give_up_at:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the app still ran")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["chta.py"], "Did you mean"),
        (["."], "is a folder"),
        (["README.md"], "not a Python file"),
        (["chat.py", "--as", "fre"], "Did you mean 'free'"),
        (["chat.py", "--fault", "omm@1"], "Did you mean 'oom'"),
        (["chat.py", "--gpus", "0"], "from 1 to 64"),
        (["chat.py", "--left", "1000"], "0 to 300"),
        (["chat.py", "--record", "chat.py/x"], "chat.py"),
    ],
)
def test_what_cannot_be_run_is_said_in_a_line(args, says, capsys, monkeypatch, tmp_path):
    from zerokit.cli import main

    (tmp_path / "chat.py").touch()
    (tmp_path / "README.md").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["dev", *args])
    assert ended.value.code == 1
    assert says in capsys.readouterr().err
