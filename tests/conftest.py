"""What holds for all tests: the folder gives the marker, nothing is written to the user's home, no thread is left."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["ZEROKIT_HOME"] = "off"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models only wait for each other's threads on a busy machine
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
# Gradio looks for a free port and takes it a little later: another worker could have taken it in between.
os.environ.setdefault("GRADIO_SERVER_PORT", str(7860 + 100 * WORKER))

gc.disable()  # until all is imported: the millions of objects that torch and others make stay anyway

HERE = Path(__file__).parent
MARKED = ("unit", "hub", "emulator", "apps", "browser", "gpu")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(HERE).parts[0] if item.path.is_relative_to(HERE) else ""
        if folder in MARKED:
            item.add_marker(folder)


def pytest_collection_finish() -> None:
    """What is imported is not gone through again for garbage: a fifth of the unit tests' time."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _afresh(request: pytest.FixtureRequest) -> Iterator[None]:
    """A unit test learns for itself alone, and leaves no thread of ours behind."""
    if request.node.get_closest_marker("unit") is None:
        yield
        return
    before = set(threading.enumerate())
    calibration = sys.modules.get("zerokit.calls.calibration")
    if calibration is not None:
        calibration._shared = None
    yield
    deadline = time.monotonic() + 5
    while (left := _ours() - before) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not left, f"left behind: {sorted(thread.name for thread in left)}"


def _ours() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("zerokit-")}
