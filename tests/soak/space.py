"""The soaked Space under the local ZeroGPU, and what of the machine it uses."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "unit"))

import tiny_image  # noqa: E402
import tiny_text  # noqa: E402

from zerokit.emulator import App, ZeroGPU  # noqa: E402
from zerokit.emulator.processes import group_members  # noqa: E402

GPUS = 4
SPEED = 6.0
"""How fast the calendar runs: nobody waits longer than 10 s in the queue."""
READY_S = 300.0
CONTEXT = 1024


@dataclass(frozen=True)
class Use:
    """What the app's main process holds at one moment at which nobody asks anything."""

    life: int
    """0: of the first process; 1: of the one after the restart."""
    memory_mib: float
    threads: int
    descriptors: int
    workers: int
    temporary: int
    """Files that a call leaves where something went wrong."""


class Space:
    """One emulator, one app, which can be killed and started again."""

    def __init__(self, z: ZeroGPU, folder: Path) -> None:
        self.z, self.folder, self.temp = z, folder, folder / "temp"
        self.full, self.home = folder / "disk-is-full", folder / "home"
        self.temp.mkdir()
        self.port = _free_port()
        self.life = -1
        self.app: App
        self.config: dict[str, Any] = {}
        tokens = tiny_text.tokenizer(context=CONTEXT)
        model = tiny_text.random_model(tokens, max_position_embeddings=CONTEXT)
        self._env = {
            "SOAK_CHAT": str(tiny_text.save(folder / "chat", tokens, model)),
            "SOAK_IMAGE": str(tiny_image.make("stable-diffusion", folder / "image")),
            "SOAK_FULL": str(self.full),
            "ZEROKIT_HOME": str(self.home),
            "TMPDIR": str(self.temp),
            "GRADIO_TEMP_DIR": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
            "GRADIO_IS_E2E_TEST": "1",  # what a page leaves is removed after a second instead of an hour
        }

    def start(self) -> None:
        """Start the app, always on the same port."""
        self.app = self.z.run(HERE / "app.py", port=self.port, env=self._env, timeout_s=READY_S)
        self.config = httpx.get(f"{self.url}/config", timeout=60).json()
        self.life += 1

    def kill(self) -> None:
        """Kill the app as the platform does, in the middle of whatever it does."""
        self.app.process.kill()
        self.app.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def event(self, name: str) -> int:
        """The number of the page's first event with that function."""
        return next(one["id"] for one in self.config["dependencies"] if one["api_name"] == name)

    def values(self, event: int) -> list[Any]:
        """What a fresh page sends with an event."""
        shown = {one["id"]: one["props"].get("value") for one in self.config["components"]}
        inputs = next(one["inputs"] for one in self.config["dependencies"] if one["id"] == event)
        return [shown.get(component) for component in inputs]

    def busy(self) -> list[str]:
        """What still runs: calls that hold or wait for a GPU, threads of calls."""
        waiting = [f"{ticket.call.visitor} waits" for ticket in self.z._scheduler.queue]
        held = [f"{lease.call.visitor} holds a GPU" for lease in self.z.leases]
        begun = httpx.post(f"{self.url}/gradio_api/run/threads", json={"data": []}, timeout=60)
        return [*waiting, *held, *begun.json()["data"][0]]

    def use(self) -> Use:
        """Measure the app's main process."""
        pid = self.app.process.pid
        status = Path(f"/proc/{pid}/status").read_text()
        facts = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        return Use(
            self.life,
            int(facts["VmRSS"].split()[0]) / 1024,
            int(facts["Threads"]),
            len(list(Path(f"/proc/{pid}/fd").iterdir())),
            len(group_members(pid)) - 1,
            len(list(self.temp.rglob("zerokit-*"))),
        )

    def calibration(self) -> list[str]:
        """What is wrong with the file of durations, and beside it; nothing, mostly."""
        path = self.home / "durations.json"
        if not path.is_file():
            return ["there is no file of durations"]
        try:
            kinds = json.loads(path.read_text())["kinds"]
        except (ValueError, KeyError) as exc:
            return [f"the file of durations is broken: {exc!r}"]
        beside = [file.name for file in self.home.iterdir() if file != path]
        return [f"{name} is left beside the file of durations" for name in beside] + ([] if kinds else ["it is empty"])

    def answers(self) -> bool:
        """Whether anybody listens on the app's port."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def wait_for(holds: Any, timeout_s: float) -> bool:
    """Wait until it holds; False when it did not in time."""
    give_up_at = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.1)
    return True


@contextmanager
def soaked(folder: Path) -> Iterator[Space]:
    """The app, running; all that it writes lies in `folder`."""
    with ZeroGPU("free", gpus=GPUS, speed=SPEED) as z:
        space = Space(z, folder)
        space.start()
        yield space


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
