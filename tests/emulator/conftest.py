"""Plain apps under the emulator, started once for all tests of this folder that use them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from plain_world import World, run_world

from zerokit.emulator import ZeroGPU


@pytest.fixture(scope="session")
def shared_world() -> Iterator[World]:
    yield from run_world(ZeroGPU("free", gpus=2), "plain", "probe")


@pytest.fixture(scope="session")
def strict_world() -> Iterator[World]:
    yield from run_world(ZeroGPU("anonymous", strict=True, signed_in=False), "probe")


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    """Two GPUs, the apps `plain` and `probe`; a new day for everybody, no faults, and no lease left behind."""
    shared_world.z.set_faults()
    shared_world.z.advance(24 * 3600)
    yield shared_world
    shared_world.z.set_faults()
    assert shared_world.z.leases == []
