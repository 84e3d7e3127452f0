"""A chat Space under the emulator, for the tests that ask it through its API and through its page."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from gradio_client import Client

from zerokit.emulator import App, Call, ZeroGPU
from zerokit.emulator.processes import group_members

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "unit"))

import tiny_text  # noqa: E402

APPS = HERE / "chat_apps"


def babbling_model(folder: Path) -> Path:
    """A model with random weights: it says the same again for the same conversation and for no other, without end."""
    tokens = tiny_text.tokenizer(context=2048)
    model = tiny_text.random_model(tokens, max_position_embeddings=2048)
    with torch.no_grad():
        model.lm_head.weight[tokens.eos_token_id] = 0
    return tiny_text.save(folder, tokens, model)


class World:
    """One app under one emulator, and what its visitors can do."""

    def __init__(self, z: ZeroGPU, app: App) -> None:
        self.z, self.app = z, app
        self._clients: dict[str | None, Client] = {}

    def client(self, visitor: str | None = None) -> Client:
        """A program of that visitor; None: of whoever the emulator takes for granted."""
        if visitor not in self._clients:
            headers = self.z.header(visitor) if visitor else None
            self._clients[visitor] = Client(self.app.url, headers=headers, verbose=False, analytics_enabled=False)
        return self._clients[visitor]

    def ask(self, message: str = "hello", history: object = None, **settings: object) -> dict:
        """Ask as a program does."""
        return self.client().predict(message, history, api_name="/chat", **settings)

    @property
    def last(self) -> Call:
        """The last call that is over."""
        return self.z.calls[-1]

    def new_day(self) -> None:
        """No faults, and a whole day's quota for everybody."""
        self.z.set_faults()
        self.z.advance(24 * 3600)

    def settle(self) -> None:
        """What must be so after everything: nobody holds or waits for a GPU, and no thread of a call is left."""
        until(lambda: self.z.leases == [] and self.client().predict(api_name="/threads") == [])

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


def until(holds: Callable[[], object], timeout_s: float = 8.0) -> float:
    """Wait until it holds; how long that took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < timeout_s, "it did not come to hold"
        time.sleep(0.02)
    return time.monotonic() - began


@contextmanager
def world(
    app: Path, *, env: dict[str, str] | None = None, ready_s: float = 300.0, **emulator: object
) -> Iterator[World]:
    """Run one app; at the end no thread and no process of it is left. It starts slowly where many others compute."""
    threads = set(threading.enumerate())
    with tempfile.TemporaryDirectory() as scratch, ZeroGPU("free", **emulator) as z:
        running = z.run(app, env={"ZEROKIT_HOME": "off", "TMPDIR": scratch, **(env or {})}, timeout_s=ready_s)
        group = running.process.pid
        it = World(z, running)
        yield it
        it.close()
    assert group_members(group) == []
    assert {t.name for t in threading.enumerate() if t not in threads and t.name.startswith("zerokit")} == set()
