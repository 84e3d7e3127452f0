"""An app that runs under the emulator, in a process group of its own."""

from __future__ import annotations

import signal
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from . import nursery, processes
from .page import Space

TERM_PATIENCE_S = 3.0
LOG_LINES = 20_000


class App:
    """A running app. Stop it with `stop()`; the emulator does so at its end."""

    def __init__(
        self,
        path: Path,
        space: Space,
        hub_url: str,
        env: Mapping[str, str],
        args: Sequence[str],
        on_line: Callable[[str], None] | None,
        on_stop: Callable[[App], None],
    ) -> None:
        self.space = space
        self.page_url = f"{hub_url}/spaces/{space.id}"
        self._on_line, self._on_stop = on_line, on_stop
        self._stopped = False
        self._lines: deque[str] = deque(maxlen=LOG_LINES)
        self.process = nursery.start([str(path), *args], env)
        space.group = self.process.pid
        self._reader = threading.Thread(target=self._read, name="zerokit-app-output", daemon=True)
        self._reader.start()

    @property
    def url(self) -> str:
        """Where the app itself answers."""
        if self.space.url is None:
            raise RuntimeError("The app does not answer yet.")
        return self.space.url

    def log(self) -> str:
        """What the app and its workers have printed, up to the last `LOG_LINES` lines."""
        return "".join(list(self._lines))

    def wait_ready(self, timeout_s: float) -> None:
        """Return when the app's page answers.

        Raises:
            RuntimeError: the app ended, or did not answer in time; the message ends with its last output.
        """
        give_up_at = time.monotonic() + timeout_s
        while True:
            if self.process.poll() is not None:
                self._reader.join(timeout=2)
                raise RuntimeError(f"The app ended with exit code {self.process.returncode}.\n{self._tail()}")
            if self.space.url is not None and _answers(self.space.url):
                return
            if time.monotonic() > give_up_at:
                raise RuntimeError(f"The app's page did not answer within {timeout_s:g} s.\n{self._tail()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the app and every worker it started; the emulator and its other apps go on."""
        if self._stopped:
            return
        self._stopped = True
        group = self.process.pid
        # Workers first, while the app that started them is there to collect them.
        workers = [pid for pid in processes.group_members(group) if pid != group]
        for pid in workers:
            processes.kill(pid)
        _wait_until(lambda: not any(processes.exists(pid) for pid in workers) or self.process.poll() is not None)
        if self.process.poll() is None:
            self.process.terminate()
        _wait_until(lambda: self.process.poll() is not None and not processes.group_members(group))
        processes.signal_group(group, signal.SIGKILL)
        self.process.wait()
        self._reader.join(timeout=5)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._on_stop(self)

    def _tail(self) -> str:
        return "".join(list(self._lines)[-40:])

    def _read(self) -> None:
        if self.process.stdout is None:
            return
        for raw in self.process.stdout:
            line = raw.decode("utf-8", "replace")
            self._lines.append(line)
            if self._on_line is not None:
                self._on_line(line)


def _wait_until(true: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + TERM_PATIENCE_S
    while not true() and time.monotonic() < give_up_at:
        time.sleep(0.02)


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5):
            return True
    except urllib.error.HTTPError as exc:
        exc.close()
        return True  # an app that wants a password answers too
    except OSError:
        return False
