"""Apps that start sooner: forked from a process that has imported what is slow.

A third to a half of an app's start goes into torch and some three thousand other modules. Who starts several apps from
one process, as a demo and tests do, pays for that twice at most: all but the first come from here.

An app cannot tell the difference, for only modules are imported ahead that do not keep what makes one app another.
Gradio and the libraries of the Hub are not among them: they keep addresses, ports and folders from the environment as
it is at their import.
"""

from __future__ import annotations

import atexit
import gc
import importlib.util
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import IO, Any, Protocol

AHEAD = (
    "torch",
    "torch._dynamo",
    "torch.distributed.tensor",
    "torch.onnx",
    "pandas",
    "PIL.DdsImagePlugin",
    "PIL.PngImagePlugin",
    "PIL.TiffImagePlugin",
    "fastapi",
    "filelock",
    "h11",
    "httpcore2",
    "httpx2",
    "jinja2",
    "mcp",
    "orjson",
    "packaging.requirements",
    "psutil",
    "regex",
    "requests",
    "rich.console",
    "semantic_version",
    "tomlkit",
    "typer",
    "uvicorn",
    "yaml",
)
"""What is imported ahead, where it is installed."""
AT_IMPORT = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "OMP_", "MKL_", "KMP_", "OPENBLAS_", "TORCH", "PYTORCH", "CUDA")
"""The beginnings of the variables that those and Python itself read once: an app with others starts by itself."""
HEAD_BYTES = 8


class Process(Protocol):
    """What is used of a `subprocess.Popen`."""

    pid: int
    returncode: int | None
    stdout: IO[bytes] | None

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


class Forked:
    """A process whose parent is the nursery, which tells when it ended."""

    def __init__(self, pid: int, stdout: IO[bytes], told: socket.socket) -> None:
        self.pid = pid
        self.stdout: IO[bytes] | None = stdout
        self.returncode: int | None = None
        self._told = told
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        with self._lock:
            if self.returncode is None and select.select([self._told], [], [], 0)[0]:
                # Nothing is told when the nursery itself has been killed; its apps then follow it.
                said = self._told.recv(32)
                self.returncode = int(said) if said else -signal.SIGKILL
                self._told.close()
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        while (code := self.poll()) is None:
            try:
                if not select.select([self._told], [], [], timeout)[0]:
                    raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            except (OSError, ValueError):
                continue  # another thread was told, and closed it
        return code

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The process that apps are forked from. It ends with the one that made it.

    Args:
        env: of the first of them.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = dict(env)
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                env=self._env,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def suits(self, env: Mapping[str, str]) -> bool:
        """Whether an app with this environment is the same when it is forked from here."""
        changed = {name for name in {*env, *self._env} if env.get(name) != self._env.get(name)}
        return not any(name.startswith(AT_IMPORT) for name in changed)

    def start(self, args: Sequence[str], env: Mapping[str, str]) -> Forked:
        """An app in a session of its own.

        Raises:
            OSError: the nursery is not there any more.
        """
        request = json.dumps({"args": [*args], "env": {**env}, "folder": os.getcwd()}).encode()
        told, tells = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        reads, writes = os.pipe()
        try:
            with self._lock:
                head = len(request).to_bytes(HEAD_BYTES, "big")
                socket.send_fds(self._control, [head], [writes, tells.fileno()])
                self._control.sendall(request)
        except OSError:
            told.close()
            os.close(reads)
            raise
        finally:
            tells.close()
            os.close(writes)
        pid = told.recv(32)
        if not pid:
            told.close()
            os.close(reads)
            raise OSError("The nursery ended.")
        return Forked(int(pid), os.fdopen(reads, "rb"), told)

    def close(self) -> None:
        """End it, and with it the apps that still run."""
        self._control.close()
        self.process.kill()
        self.process.wait()


_nursery: Nursery | None = None
_started = 0
_lock = threading.Lock()


def expect(apps: int) -> None:
    """Say how many apps will start: a nursery for one would be slower than none."""
    global _started
    with _lock:
        _started = max(_started, min(apps - 1, 1))


def start(args: Sequence[str], env: Mapping[str, str]) -> Process:
    """Run `zerokit.emulator.run` with these arguments: forked from the nursery if that is the quicker way."""
    # Where an import has so much as counted real cards, CUDA does not work after a fork.
    nursery = None if env.get("ZEROKIT_EMULATOR_CARD") else _shared(env)
    if nursery is not None and nursery.suits(env):
        try:
            return nursery.start(args, env)
        except OSError:
            _forget(nursery)
    return subprocess.Popen(
        [sys.executable, "-m", "zerokit.emulator.run", *args],
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # Its own group: the workers it forks are in it, and Ctrl-C does not reach them before us.
        start_new_session=True,
    )


def _shared(env: Mapping[str, str]) -> Nursery | None:
    """This process's nursery; None for its first app."""
    global _nursery, _started
    with _lock:
        _started += 1
        if _nursery is None and _started > 1:
            _nursery = Nursery(env)
            atexit.register(_nursery.close)
        return _nursery


def _forget(nursery: Nursery) -> None:
    global _nursery
    with _lock:
        if _nursery is nursery:
            _nursery = None
    nursery.close()


# The nursery's own side.


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    gc.disable()
    for name in AHEAD:
        if importlib.util.find_spec(name.partition(".")[0]) is not None:
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # what is shared with the apps stays shared
    gc.enable()
    request = _serve(control)
    if request is not None:
        from . import run

        sys.argv = [run.__file__, *request["args"]]
        run.main()


def _serve(control: socket.socket) -> dict[str, Any] | None:
    """Fork an app for each request. Returns in the app, with its request; in the nursery None, at the end."""
    wakes, woken = socket.socketpair()
    for end in (wakes, woken):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken.fileno())
    tells: dict[int, socket.socket] = {}
    while True:
        ready = select.select([control, wakes], [], [])[0]
        if wakes in ready:
            wakes.recv(4096)
            _tell_ended(tells)
        if control not in ready:
            continue
        head, fds, _, _ = socket.recv_fds(control, HEAD_BYTES, 2)
        if not head:
            return None
        request = json.loads(_received(control, int.from_bytes(head, "big")))
        output, tell = fds[0], socket.socket(fileno=fds[1])
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for end in (control, wakes, woken, tell, *tells.values()):
                end.close()
            _become(request, output)
            return request
        os.close(output)
        tells[pid] = tell
        tell.sendall(str(pid).encode())


def _received(control: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = control.recv(size - len(data))
        if not part:
            raise EOFError("Half a request.")
        data += part
    return data


def _tell_ended(tells: dict[int, socket.socket]) -> None:
    while tells:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with tells.pop(pid) as tell:
            tell.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def _become(request: dict[str, Any], output: int) -> None:
    """What a new process has to itself."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for fd, end in ((0, nothing), (1, output), (2, output)):
        os.dup2(end, fd)
    os.close(nothing)
    os.close(output)
    os.environ.clear()
    os.environ.update(request["env"], ZEROKIT_EMULATOR_PARENT=str(os.getppid()))
    os.chdir(request["folder"])
    random.seed()
    tempfile.tempdir = None  # torch has asked for the nursery's own
    sys.modules["numpy"].random.seed()


if __name__ == "__main__":
    main()
