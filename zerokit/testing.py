"""Try a Space as its visitors will, before it is on the Hub: its own app on the local ZeroGPU.

with zerokit.testing.Space("my-space") as space:
    visitor = space.visitor("free")
    visitor.call("/chat", "What is ZeroGPU?")
    assert visitor.last.used_s < visitor.last.reserved_s
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from gradio_client import Client
from huggingface_hub import metadata_load

from zerokit.emulator import App, Call, Fault, ZeroGPU
from zerokit.errors import UsageError

_DAY_S = 24 * 3600
_SETTLING_S = 10.0
"""How long after an answer its call may take to be booked."""


class Visitor:
    """Somebody who uses the Space: a program of theirs, and what is left of their day. Made by `Space.visitor`."""

    def __init__(self, name: str, zero_gpu: ZeroGPU, url: str) -> None:
        self.name = name
        self._zero_gpu, self._account = zero_gpu, zero_gpu.visitor(name)
        self.client = Client(url, headers=self._account.header, verbose=False, analytics_enabled=False)
        """A `gradio_client.Client`, for what `call` does not do."""

    def call(self, endpoint: str, *args: Any, **kwargs: Any) -> Any:
        """Call an endpoint, and give its result when the GPU is free and the call is booked.

        Args:
            endpoint: such as "/chat".
            *args: as `gradio_client.Client.predict` takes them.
            **kwargs: likewise.

        Raises:
            gradio_client.exceptions.AppError: what the page would show, with its `title` and `message`.
        """
        try:
            return self.client.predict(*args, api_name=endpoint, **kwargs)
        finally:
            self._settle()

    @property
    def left_s(self) -> float:
        """GPU seconds left of the day."""
        return self._account.left_s

    @property
    def runs_left(self) -> int | None:
        """None: no limit applies."""
        return self._account.runs_left

    @property
    def calls(self) -> list[Call]:
        """This visitor's GPU calls that are over, with what each reserved and used."""
        return [call for call in self._zero_gpu.calls if call.visitor == self.name]

    @property
    def last(self) -> Call:
        """The last of them.

        Raises:
            LookupError: there was none.
        """
        if not self.calls:
            raise LookupError(f"{self.name} has made no GPU call yet.")
        return self.calls[-1]

    def _settle(self) -> None:
        give_up_at = time.monotonic() + _SETTLING_S
        while any(lease.ask.account.name == self.name for lease in self._zero_gpu.leases):
            if time.monotonic() > give_up_at:
                return  # another call of this visitor still runs
            time.sleep(0.02)


class Space:
    """A Space that runs on the local ZeroGPU. A context manager; at its end nothing of it is left.

    Args:
        path: the Space's folder, or the file of its app.
        model: what the app finds in the environment as ZEROKIT_MODEL, where ZeroKit's templates look for their model;
            None: as it is.
        gpus: how many calls can run at a time.
        env: more environment for the app.
        timeout_s: how long to wait for its page.

    Raises:
        UsageError: there is no such app.
        RuntimeError: the app ended, or did not answer in time; the message ends with its last output.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        model: str | None = "embedded",
        gpus: int = 1,
        env: Mapping[str, str] | None = None,
        timeout_s: float = 120.0,
    ) -> None:
        self._file = app_file(Path(path))
        # What others have learned says nothing here, and small models only wait for each other's threads.
        own = {"ZEROKIT_HOME": "off", "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
        self._env = {**own, **({} if model is None else {"ZEROKIT_MODEL": model}), **(env or {})}
        self._timeout_s = timeout_s
        self._visitors: dict[str, Visitor] = {}
        self._opened = ExitStack()
        self.zero_gpu = ZeroGPU(gpus=gpus)
        """The local ZeroGPU itself."""
        self._app: App | None = None

    def __enter__(self) -> Space:
        with ExitStack() as opened:
            scratch = opened.enter_context(tempfile.TemporaryDirectory(prefix="zerokit-testing-"))
            opened.enter_context(self.zero_gpu)
            env = {"TMPDIR": scratch, **self._env}
            self._app = self.zero_gpu.run(self._file, env=env, timeout_s=self._timeout_s)
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()
        for visitor in self._visitors.values():  # once the app is gone, no client waits for it
            visitor.client.close()

    def visitor(self, name: str = "free", *, left_s: float | None = None, runs: int | None = None) -> Visitor:
        """A visitor by plan ("anonymous", "free", "pro", "team", "enterprise"), or by plan and name: "free:ann".

        Args:
            name: the same name is the same visitor.
            left_s: GPU seconds that the visitor has left from now on; None: as it is.
            runs: likewise for runs.

        Raises:
            ValueError: there is no such plan, or it has not that much.
        """
        if name not in self._visitors:
            self._visitors[name] = Visitor(name, self.zero_gpu, self.app.url)
        if left_s is not None:
            self.zero_gpu.set_left(name, left_s)
        if runs is not None:
            self.zero_gpu.set_runs(name, runs)
        return self._visitors[name]

    @contextmanager
    def faults(self, *faults: str | Fault) -> Iterator[None]:
        """Let calls go wrong inside the `with` block: "oom", "kill:0.5", "seconds@2" for the second call in it."""
        self.zero_gpu.set_faults(*faults)
        try:
            yield
        finally:
            self.zero_gpu.set_faults()

    def new_day(self) -> None:
        """Give everybody a whole day's quota."""
        self.zero_gpu.advance(_DAY_S)

    @property
    def calls(self) -> list[Call]:
        """Every GPU call that is over, with what it reserved and used."""
        return self.zero_gpu.calls

    @property
    def app(self) -> App:
        """The running app: its `url`, the `page_url` of a page around it as the Hub has one, its `log()`."""
        if self._app is None:
            raise UsageError("The Space does not run: use it in a `with` statement.")
        return self._app


def app_file(path: Path) -> Path:
    """The file of a Space's app: the one that its card names, else app.py.

    Raises:
        UsageError: there is none, or the card cannot be read.
    """
    file = path / _named_by_card(path / "README.md") if path.is_dir() else path
    if not file.is_file():
        raise UsageError(f"There is no app {file}. Give the Space's folder, or the file of its app.")
    return file


def _named_by_card(card: Path) -> str:
    if not card.is_file():
        return "app.py"
    try:
        said = metadata_load(card) or {}
    except (ValueError, yaml.YAMLError) as exc:
        raise UsageError(f"The card at the top of {card} is not valid YAML.") from exc
    return str(said.get("app_file", "app.py"))
