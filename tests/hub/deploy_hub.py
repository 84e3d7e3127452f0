"""A Hub for Spaces on this machine: what `zerokit deploy` is tested against, driven by the real huggingface_hub client.

with serve() as hub:
    account = hub.account("me")                       # with a token that may write
    os.environ.update(HF_ENDPOINT=hub.url, HF_TOKEN=account.token)

It checks each request as the real one does and refuses what it does not know; `hub.unknown` names such requests. As a
program it serves until Ctrl+C, runs what is deployed, and prints what to set: python tests/hub/deploy_hub.py
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn

BUILDS = ("RUNNING", "BUILDING", "BUILDING", "APP_STARTING", "RUNNING")
"""The stages after a commit, one for each time that is asked; as on the real Hub the old one is told for a while."""
NEW = ("NO_APP_FILE", *BUILDS[1:])
QUOTA = {"base": 300, "current": 300, "resetsAt": None, "runs": {"used": 0, "limit": 8, "remaining": 8}}
ZERO_GPU_HOSTED = {"free": 2, "pro": 10, "team": 50, "enterprise": 50}


@dataclass
class Account:
    """A user with one token."""

    name: str
    token: str
    role: str = "write"
    is_pro: bool = False
    orgs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Plan and role by organisation."""
    scopes: list[dict[str, Any]] = field(default_factory=list)
    """Of a fine-grained token."""
    quota: dict[str, Any] | None = None

    def may_write(self, space: str) -> bool:
        owner = space.partition("/")[0]
        if self.role == "read":
            return False
        if self.role == "fineGrained":
            return any(
                one["entity"]["name"] in (owner, space) and "repo.write" in one["permissions"] for one in self.scopes
            )
        return owner == self.name or self.orgs.get(owner, {}).get("role") in ("write", "admin", "contributor")

    def sees(self, space: str) -> bool:
        return space.partition("/")[0] in (self.name, *self.orgs)

    def plan_of(self, owner: str) -> str | None:
        if owner == self.name:
            return "pro" if self.is_pro else "free"
        return self.orgs.get(owner, {}).get("plan")


@dataclass(frozen=True)
class Stored:
    """A file in a commit; `content` is None for a large one, which is known by its SHA-256."""

    size: int
    oid: str
    content: bytes | None = None
    sha256: str | None = None

    @classmethod
    def regular(cls, content: bytes) -> Stored:
        return cls(len(content), hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(), content)

    @classmethod
    def large(cls, sha256: str, size: int) -> Stored:
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
        return cls(size, hashlib.sha1(b"blob %d\0" % len(pointer) + pointer).hexdigest(), None, sha256)


@dataclass
class Space:
    """A Space and what happened to it."""

    name: str
    private: bool = False
    sdk: str = "gradio"
    files: dict[str, Stored] = field(default_factory=dict)
    commits: list[dict[str, Any]] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    hardware: str | None = None
    requested: str | None = None
    sleep_time: int | None = 172800
    stages: deque[str] = field(default_factory=lambda: deque(["NO_APP_FILE"]))
    """Taken one by one as the runtime is asked for; the last one stays."""
    build_log: list[str] = field(default_factory=lambda: ["===== Build Queued =====", "Step 1/2", "Step 2/2: done"])
    run_log: list[str] = field(default_factory=lambda: ["===== Application Startup =====", "* Running on :7860"])
    error_message: str | None = None
    host: str | None = None
    next_build: tuple[str, ...] = BUILDS

    @property
    def sha(self) -> str:
        return self.commits[-1]["oid"]

    def stage(self) -> str:
        return self.stages.popleft() if len(self.stages) > 1 else self.stages[0]

    def commit(self, summary: str, files: dict[str, Stored]) -> str:
        self.files.update(files)
        oid = hashlib.sha1(f"{self.name} {len(self.commits)} {summary}".encode()).hexdigest()
        self.commits.append({"oid": oid, "summary": summary, "files": sorted(files)})
        return oid

    def build(self) -> None:
        self.stages = deque(self.next_build)


@dataclass
class Fault:
    """What is answered instead, so many times."""

    method: str
    path: re.Pattern[str]
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1_000


@dataclass
class Hub:
    """The stand-in: accounts, Spaces, and everything that was asked of it."""

    url: str = ""
    accounts: dict[str, Account] = field(default_factory=dict)
    spaces: dict[str, Space] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of every request."""
    tokens: set[str] = field(default_factory=set)
    """What came in the header Authorization; "" where there was none."""
    unknown: list[tuple[str, str]] = field(default_factory=list)
    large: dict[str, int] = field(default_factory=dict)
    """Size by SHA-256 of the large files that were uploaded."""
    passes: dict[str, str] = field(default_factory=dict)
    """The Space that a pass is for."""
    build: Callable[[Space], None] = Space.build
    """What follows a commit."""

    def forget(self) -> None:
        """Begin anew, at the same address."""
        self.__init__(self.url)  # type: ignore[misc]

    def account(self, name: str = "me", **how: Any) -> Account:
        account = Account(name, "hf_" + secrets.token_hex(17), **how)
        self.accounts[account.token] = account
        return account

    def space(self, name: str, *stages: str, **how: Any) -> Space:
        """A Space that is there already."""
        space = Space(name, **how)
        space.stages = deque(stages or ("RUNNING",))
        self.first_commit(space)
        self.spaces[name] = space
        return space

    def first_commit(self, space: Space) -> None:
        card = f"---\ntitle: New\nsdk: {space.sdk}\n---\n".encode()
        space.commit(
            "initial commit", {"README.md": Stored.regular(card), ".gitattributes": Stored.regular(b"*.bin\n")}
        )

    def fault(
        self, method: str, path: str, status: int, body: Any = None, *, times: int = 1_000, **headers: str
    ) -> None:
        """Answer requests of that method and path (a pattern) with a status instead."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.faults.append(Fault(method, re.compile(path), status, body, named, times))

    def writes(self) -> list[str]:
        """What was asked to change something, as "POST path", in order."""
        reads = re.compile(r"/preupload/|/validate-yaml|/lfs/objects|/-/large/|/-/xet/")
        return [f"{method} {path}" for method, path in self.asked if method != "GET" and not reads.search(path)]


@contextmanager
def serve(port: int = 0) -> Iterator[Hub]:
    """Serve on a free port of this machine until the block ends."""
    from deploy_hub_routes import app_of

    hub = Hub()
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:  # else each answer waits 40 ms
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        hub.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(app_of(hub), log_level="critical", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield hub
        finally:
            server.should_exit = True
            thread.join()


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    from deploy_hub_apps import Apps

    with serve() as hub, closing(Apps()) as apps:
        hub.build = apps.build
        print(f"export HF_ENDPOINT={hub.url} HF_TOKEN={hub.account('me', quota=QUOTA).token}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print(json.dumps({name: space.commits for name, space in hub.spaces.items()}, indent=1))


if __name__ == "__main__":
    main()
