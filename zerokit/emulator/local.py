"""`ZeroGPU`, the emulator from Python."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from ..settings import hub_endpoint
from . import processes
from .app import App
from .cards import usable_cards
from .clock import Clock
from .environment import environment
from .faults import Fault, parse_all
from .hub import Upstream
from .leases import Lease
from .page import Space
from .records import Call, Recording
from .scheduler import CGROUPS, Scheduler
from .server import HOST, Server, make_app
from .visitors import Visitors, plan_of

READY_S = 120.0


class Visitor:
    """One visitor of an emulator: what is left, and the tokens that stand for it."""

    def __init__(self, name: str, visitors: Visitors, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self._account = visitors.account(name)
        self.header = {"x-ip-token": visitors.ip_token(name)}
        """For gradio_client's `headers=`: what the Hub page would add."""
        self.token = visitors.access_token(name)
        """The Hub token, as after a sign-in."""

    @property
    def left_s(self) -> float:
        return self._account.left_s(self._clock.calendar())

    @property
    def runs_left(self) -> int | None:
        """None: no limit applies."""
        return self._account.runs_left(self._clock.calendar())


class ZeroGPU:
    """A local ZeroGPU with its Hub, for any number of apps. A context manager.

    Args:
        visitor: who everybody is that brings no header and no cookie: a plan's name, or `plan:name`.
        gpus: how many calls can run at a time.
        left_s: seconds that visitor has left; None: the whole day's.
        runs: runs that visitor has left; None: the whole day's.
        speed: how fast the calendar runs (the 24 h window, the queue's 60 s); GPU seconds are always real.
        strict: keep the device emulation on inside the worker, to find device mix-ups.
        faults: like "oom@3" or "kill:0.7@2+" (see `Fault.parse`).
        record: a file for all calls, as JSON lines.
        signed_in: whether visitors with an account are signed in to the Space from the start.
        concurrency: GPUs that one Space may hold at a time; None: all.
        on_call: told of every call when it is over.

    Raises:
        ValueError: a name, number or fault that makes no sense; the message says which.
    """

    def __init__(
        self,
        visitor: str = "free",
        *,
        gpus: int = 1,
        left_s: float | None = None,
        runs: int | None = None,
        speed: float = 1.0,
        strict: bool = False,
        faults: Iterable[str | Fault] = (),
        record: str | Path | None = None,
        signed_in: bool = True,
        concurrency: int | None = None,
        on_call: Callable[[Call], None] | None = None,
    ) -> None:
        if not 1 <= gpus <= 64:
            raise ValueError(f"The number of GPUs is from 1 to 64, not {gpus!r}.")
        plan_of(visitor)
        self._visitor, self._strict, self._signed_in = visitor, strict, signed_in
        self._clock = Clock(speed)
        self._visitors = Visitors()
        faults_now = parse_all(faults)
        if left_s is not None:
            self.set_left(visitor, left_s)
        if runs is not None:
            self.set_runs(visitor, runs)
        self.cards = usable_cards()
        """The cards that the workers use; none: "cuda" means the CPU in them."""
        self._recording = Recording(None if record is None else Path(record))
        self._scheduler = Scheduler(
            clock=self._clock,
            recording=self._recording,
            uuids=[self.cards[i % len(self.cards)].uuid if self.cards else f"GPU-zerokit-{i}" for i in range(gpus)],
            kill=processes.kill,
            alive=processes.alive,
            concurrency=concurrency,
            on_settled=on_call,
            faults=faults_now,
        )
        self._spaces: dict[str, Space] = {}
        self._apps: list[App] = []
        self._upstream = hub_endpoint()
        self._server: Server | None = None
        self._folder: Path | None = None

    def __enter__(self) -> ZeroGPU:
        self._folder = Path(tempfile.mkdtemp(prefix="zerokit-emulator-"))
        app = make_app(
            scheduler=self._scheduler,
            visitors=self._visitors,
            clock=self._clock,
            spaces=self._spaces,
            upstream=Upstream(self._upstream, self._visitors, self._recording),
            visitor=self._visitor,
            signed_in=self._signed_in,
        )
        self._server = Server(app)
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for app in list(self._apps):
            app.stop()
        if self._server is not None:
            self._server.stop()
        self._recording.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    # Apps.

    @property
    def url(self) -> str:
        """The emulated Hub's address."""
        if self._server is None:
            raise RuntimeError("The emulator is not running: use it in a `with` statement.")
        return self._server.url

    def run(
        self,
        app: str | Path,
        *,
        port: int | None = None,
        env: Mapping[str, str] | None = None,
        args: Sequence[str] = (),
        timeout_s: float = READY_S,
    ) -> App:
        """Start an app and return when its page answers.

        Args:
            app: a Python file.
            port: where the app listens unless its own `launch(server_port=)` says otherwise; None: a free one.
            env: more environment for the app.
            args: the app's command line.
            timeout_s: how long to wait for its page.

        Raises:
            FileNotFoundError: there is no such file.
            RuntimeError: the app ended, or did not answer in time.
        """
        chosen = {"GRADIO_SERVER_PORT": str(port or _free_port()), **(env or {})}
        started = self.start(app, env=chosen, args=args)
        try:
            started.wait_ready(timeout_s)
        except BaseException:
            started.stop()
            raise
        return started

    def start(
        self,
        app: str | Path,
        *,
        env: Mapping[str, str] | None = None,
        args: Sequence[str] = (),
        on_line: Callable[[str], None] | None = None,
    ) -> App:
        """Start an app without waiting for it, on the port that Gradio takes."""
        path = Path(app).resolve()
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {path}.")
        space = self._space(path.parent.name if path.stem == "app" else path.stem)
        started = App(path, space, self.url, {**self._env(space), **(env or {})}, args, on_line, self._forget)
        self._apps.append(started)
        return started

    def env(self) -> dict[str, str]:
        """The whole environment for a child process that runs `python -m zerokit.emulator.run app.py` itself."""
        return self._env(self._space("app"))

    # Visitors and the calendar.

    def visitor(self, name: str) -> Visitor:
        """A visitor by plan ("free") or by plan and a name of its own ("free:ann")."""
        return Visitor(name, self._visitors, self._clock)

    def header(self, name: str) -> dict[str, str]:
        """What the Hub page adds for that visitor; for gradio_client's `headers=`."""
        return self.visitor(name).header

    def set_left(self, visitor: str, seconds: float) -> None:
        """Leave a visitor that many seconds."""
        self._visitors.account(visitor).set_left(seconds, self._clock.calendar())

    def set_runs(self, visitor: str, runs_left: int) -> None:
        """Leave a visitor that many runs."""
        self._visitors.account(visitor).set_runs(runs_left, self._clock.calendar())

    def set_faults(self, *faults: str | Fault) -> None:
        """Exchange the faults; N counts from here. Without arguments: none."""
        self._scheduler.set_faults(parse_all(faults))

    def advance(self, seconds: float) -> None:
        """Move the calendar forward."""
        self._clock.advance(seconds)

    # What happened.

    @property
    def calls(self) -> list[Call]:
        """Every call that is over, in the order of their ends."""
        return list(self._recording.calls)

    @property
    def leases(self) -> list[Lease]:
        """Calls that hold a GPU now."""
        return self._scheduler.leases

    @property
    def workers(self) -> list[int]:
        """Process ids of the workers alive, busy or warm."""
        return self._scheduler.workers

    def _forget(self, app: App) -> None:
        self._scheduler.forget(app.space.cgroup)
        self._apps.remove(app)
        del self._spaces[app.space.id]

    def _space(self, name: str) -> Space:
        base = "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip("-.") or "app"
        space_id, number = f"local/{base}", 1
        while space_id in self._spaces:
            number += 1
            space_id = f"local/{base}-{number}"
        self._spaces[space_id] = Space(space_id, f"{CGROUPS}{space_id}")
        return self._spaces[space_id]

    def _env(self, space: Space) -> dict[str, str]:
        if self._folder is None:
            raise RuntimeError("The emulator is not running: use it in a `with` statement.")
        return {
            **environment(space, self.url, self._folder / space.id.replace("/", "-")),
            "ZEROKIT_EMULATOR_VISITOR": self._visitor,
            "ZEROKIT_EMULATOR_STRICT": "1" if self._strict else "0",
            "ZEROKIT_EMULATOR_CARD": self.cards[0].to_json() if self.cards else "",
        }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
