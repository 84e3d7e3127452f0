"""`python -m zerokit.emulator.run app.py [args]`: an app under the shim. Started by `ZeroGPU`, with its environment."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

from . import processes, shim


def main() -> None:
    if len(sys.argv) < 2 or "ZEROKIT_EMULATOR_URL" not in os.environ:
        sys.exit("This is started by the emulator: use `zerokit dev APP.py`.")
    path = Path(sys.argv[1]).resolve()
    shim.install()
    if os.getpgrp() == os.getpid():
        threading.Thread(target=_follow_emulator, name="zerokit-follow", daemon=True).start()
    run_as_main(path, sys.argv[1:])


def run_as_main(path: Path, argv: list[str]) -> None:
    """Run a file as `python FILE` does: it is `__main__`, and stays it, so that its classes can be pickled."""
    module = ModuleType("__main__")
    module.__file__ = str(path)
    module.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = module
    sys.argv = argv
    sys.path[0] = str(path.parent)
    exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)


def _follow_emulator() -> None:
    """End the app when the emulator has died without stopping it."""
    parent = int(os.environ["ZEROKIT_EMULATOR_PARENT"])
    while os.getppid() == parent:
        time.sleep(1)
    processes.signal_group(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
