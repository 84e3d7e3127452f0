"""Apps under the emulator, started once for all tests of this folder that use them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from gradio_client import Client

from zerokit.emulator import App, ZeroGPU
from zerokit.emulator.processes import group_members

APPS = Path(__file__).parent / "apps"


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

    def close(self) -> None:
        for client in self.clients.values():
            client.close()


def _world(z: ZeroGPU, *names: str) -> Iterator[World]:
    threads = set(threading.enumerate())
    with z:
        with ThreadPoolExecutor(len(names)) as pool:
            apps = pool.map(lambda name: z.run(APPS / f"{name}.py"), names)
            world = World(z, dict(zip(names, apps, strict=True)))
        groups = [app.process.pid for app in world.apps.values()]
        yield world
        world.close()
    left_over = {t.name for t in threading.enumerate() if t not in threads and t.name.startswith("zerokit")}
    assert left_over == set()
    assert [pid for group in groups for pid in group_members(group)] == []


@pytest.fixture(scope="session")
def shared_world() -> Iterator[World]:
    yield from _world(ZeroGPU("free", gpus=2), "plain", "probe")


@pytest.fixture(scope="session")
def strict_world() -> Iterator[World]:
    yield from _world(ZeroGPU("anonymous", strict=True, signed_in=False), "probe")


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    """Two GPUs, the apps `plain` and `probe`; a new day for everybody, no faults, and no lease left behind."""
    shared_world.z.set_faults()
    shared_world.z.advance(24 * 3600)
    yield shared_world
    shared_world.z.set_faults()
    assert shared_world.z.leases == []
