"""Plain apps under the emulator, for the tests of the emulator itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from gradio_client import Client

from zerokit.emulator import App, ZeroGPU
from zerokit.emulator.processes import group_members

APPS = Path(__file__).parent / "apps"


def until(holds: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Wait until it holds."""
    give_up_at = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < give_up_at, "it did not come to hold"
        time.sleep(0.02)


@dataclass
class World:
    """A running emulator with its apps, and clients for any visitor."""

    z: ZeroGPU
    apps: dict[str, App]
    clients: dict[tuple[str, str | None], Client] = field(default_factory=dict)

    def client(self, app: str, visitor: str | None = None) -> Client:
        """A gradio_client that brings the header of a visitor, or none."""
        key = app, visitor
        if key not in self.clients:
            headers = self.z.header(visitor) if visitor else None
            self.clients[key] = Client(self.apps[app].url, headers=headers, verbose=False, analytics_enabled=False)
        return self.clients[key]

    def wait_for_log(self, app: str, text: str) -> None:
        """What an app prints comes through a pipe, a moment later."""
        until(lambda: text in self.apps[app].log())

    def close(self) -> None:
        for client in self.clients.values():
            client.close()


def run_world(z: ZeroGPU, *names: str) -> Iterator[World]:
    threads = set(threading.enumerate())
    with z:
        with ThreadPoolExecutor(len(names)) as pool:
            apps = pool.map(lambda name: z.run(APPS / f"{name}.py"), names)
            world = World(z, dict(zip(names, apps, strict=True)))
        groups = [app.process.pid for app in world.apps.values()]
        yield world
        world.close()
    left_over = {t.name for t in threading.enumerate() if t not in threads and t.name.startswith("zerokit")}
    assert left_over == set(), left_over  # pytest does not rewrite this file
    assert [pid for group in groups for pid in group_members(group)] == []
