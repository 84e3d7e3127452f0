"""Behind the stand-in for the Hub, where it serves as a program: what is committed to a Space runs on this machine."""

from __future__ import annotations

import tempfile
import threading
from collections import deque
from contextlib import ExitStack
from pathlib import Path

from deploy_hub import Space

from zerokit import testing


class Apps:
    """The apps of all Spaces, each under a local ZeroGPU of its own, with the model that comes with ZeroKit."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._running: dict[str, ExitStack] = {}

    def build(self, space: Space) -> None:
        """Start the Space's files as they are now, in place of those of before; its stage tells how far it is."""
        space.stages = deque(["BUILDING"])
        threading.Thread(target=self._start, args=(space,), daemon=True).start()

    def _start(self, space: Space) -> None:
        with self._turn:
            self._running.pop(space.name, ExitStack()).close()
            with ExitStack() as opened:
                folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="zerokit-hub-")))
                for name, file in space.files.items():
                    if file.content is not None:  # of a large one only the size is kept
                        (folder / name).parent.mkdir(parents=True, exist_ok=True)
                        (folder / name).write_bytes(file.content)
                space.stages = deque(["APP_STARTING"])
                try:
                    running = opened.enter_context(testing.Space(folder, env={**space.variables, **space.secrets}))
                except Exception as exc:
                    space.error_message, space.stages = str(exc), deque(["RUNTIME_ERROR"])
                    raise
                space.host, space.run_log = running.app.url, running.app.log().splitlines()
                space.stages = deque(["RUNNING"])
                self._running[space.name] = opened.pop_all()

    def close(self) -> None:
        """Stop them all."""
        with self._turn:
            for opened in self._running.values():
                opened.close()
