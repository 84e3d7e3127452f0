"""Apps on the machine's card, with the real worker behind them and nothing of it replaced."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gradio_client import Client

import zerokit
from zerokit.emulator import App, Call, ZeroGPU

APPS = Path(__file__).parent / "apps"
DEMOS = Path(zerokit.__file__).parent / "cli" / "demos"
READY_S = 240.0


def until(holds: Callable[[], object], timeout_s: float = 15.0) -> float:
    """Wait until it holds; how long that took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < timeout_s, "it did not come to hold"
        time.sleep(0.02)
    return time.monotonic() - began


def used_bytes() -> int:
    """What the first card says is in use, by whomever."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) * 2**20


class Apps:
    """Running apps of one emulator."""

    def __init__(self, z: ZeroGPU, files: Sequence[Path], folder: Path) -> None:
        self.z, self._folder = z, folder
        with ThreadPoolExecutor(len(files)) as pool:
            started = pool.map(self._start, files)
        self.running: dict[str, App] = dict(zip((file.stem for file in files), started, strict=True))
        self._clients: dict[tuple[str, str], Client] = {}

    def _start(self, file: Path) -> App:
        env = {"ZEROKIT_HOME": str(self._folder / file.stem), "GRADIO_TEMP_DIR": str(self._folder / "gradio")}
        return self.z.run(file, env=env, timeout_s=READY_S)

    def client(self, app: str, visitor: str = "pro") -> Client:
        key = app, visitor
        if key not in self._clients:
            self._clients[key] = Client(
                self.running[app].url,
                headers=self.z.header(visitor),
                download_files=self._folder / "made",
                verbose=False,
                analytics_enabled=False,
            )
        return self._clients[key]

    def ask(self, app: str, endpoint: str, *args: Any, visitor: str = "pro", **settings: Any) -> Any:
        return self.client(app, visitor).predict(*args, api_name=f"/{endpoint}", **settings)

    @property
    def last(self) -> Call:
        """The last call that is over, once all of them are."""
        until(lambda: self.z.leases == [])
        return self.z.calls[-1]

    def close(self) -> None:
        """Leave what the apps printed beside the other files of the tests."""
        for name, app in self.running.items():
            (self._folder / f"{name}.log").write_text(app.log(), encoding="utf-8")
        for client in self._clients.values():
            client.close()
