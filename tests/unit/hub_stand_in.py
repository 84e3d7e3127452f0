"""A small Hub: serves folders of models over HTTP, the way the real client asks for them.

with serve(folder) as hub:            # folder/owner/name/config.json, ...
    os.environ["HF_ENDPOINT"] = hub.url
"""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response

GOOD_TOKEN = "hf_goodgoodgoodgood"


@dataclass
class Hub:
    """The stand-in, and what was asked of it.

    Args:
        root: a folder of owners, each a folder of models.
        gated: names of models that only `GOOD_TOKEN` may fetch.
        private: names of models that only `GOOD_TOKEN` can see.
    """

    root: Path
    gated: set[str] = field(default_factory=set)
    private: set[str] = field(default_factory=set)
    status: int | None = None
    """Answer everything with this status."""
    url: str = ""
    asked: list[str] = field(default_factory=list)
    """Method and path of every request."""
    sent: int = 0
    """Bytes of files that were sent."""
    cards: dict[str, dict] = field(default_factory=dict)
    """What the cards of some models say."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Sizes that are told of files with these names, instead of the true ones."""

    def fetched(self, ending: str) -> list[str]:
        """Downloads of files with that ending."""
        return [
            line for line in self.asked if line.startswith("GET /") and "/resolve/" in line and line.endswith(ending)
        ]


def commit_of(repo: str) -> str:
    return hashlib.sha1(repo.encode()).hexdigest()


def _refusal(status: int, code: str) -> Response:
    return Response(status_code=status, headers={"X-Error-Code": code, "X-Error-Message": code})


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _sibling(hub: Hub, folder: Path, file: Path) -> dict:
    name = file.relative_to(folder).as_posix()
    return {"rfilename": name, "size": hub.sizes.get(name, file.stat().st_size)}


def _app(hub: Hub) -> FastAPI:
    app = FastAPI()

    def refused(request: Request, repo: str, revision: str) -> Response | None:
        known = request.headers.get("authorization") == f"Bearer {GOOD_TOKEN}"
        if not (hub.root / repo).is_dir() or (repo in hub.private and not known):
            return _refusal(404 if "authorization" in request.headers else 401, "RepoNotFound")
        if revision not in ("main", commit_of(repo)):
            return _refusal(404, "RevisionNotFound")
        return None

    @app.middleware("http")
    async def remember(request: Request, go_on):
        hub.asked.append(f"{request.method} {request.url.path}")
        response = Response(status_code=hub.status) if hub.status else await go_on(request)
        if request.method == "GET" and "/resolve/" in request.url.path:
            hub.sent += int(response.headers.get("content-length", 0))
        return response

    @app.get("/api/models/{owner}/{name}")
    @app.get("/api/models/{owner}/{name}/revision/{revision}")
    def info(request: Request, owner: str, name: str, revision: str = "main"):
        repo = f"{owner}/{name}"
        if refusal := refused(request, repo, revision):
            return refusal
        folder = hub.root / repo
        return JSONResponse(
            {
                "id": repo,
                "sha": commit_of(repo),
                "gated": "manual" if repo in hub.gated else False,
                "private": repo in hub.private,
                "siblings": [_sibling(hub, folder, file) for file in _files(folder)],
                "cardData": hub.cards.get(repo),
            }
        )

    @app.get("/api/models/{name}")
    def no_owner(name: str):
        return _refusal(401, "RepoNotFound")

    @app.get("/api/models/{owner}/{name}/tree/{revision}")
    def tree(request: Request, owner: str, name: str, revision: str):
        repo = f"{owner}/{name}"
        if refusal := refused(request, repo, revision):
            return refusal
        folder = hub.root / repo
        return [
            {
                "type": "file",
                "path": file.relative_to(folder).as_posix(),
                "size": file.stat().st_size,
                "oid": commit_of(file.name),
            }
            for file in _files(folder)
        ]

    @app.api_route("/{owner}/{name}/resolve/{revision}/{file:path}", methods=["GET", "HEAD"])
    def resolve(request: Request, owner: str, name: str, revision: str, file: str):
        repo = f"{owner}/{name}"
        if refusal := refused(request, repo, revision):
            return refusal
        if repo in hub.gated and request.headers.get("authorization") != f"Bearer {GOOD_TOKEN}":
            return _refusal(403, "GatedRepo")
        path = hub.root / repo / file
        if not path.is_file():
            response = _refusal(404, "EntryNotFound")
            response.headers["X-Repo-Commit"] = commit_of(repo)
            return response
        etag = hashlib.sha256(path.read_bytes()).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Linked-Etag": f'"{etag}"', "X-Repo-Commit": commit_of(repo)}
        return FileResponse(path, headers=headers | {"X-Linked-Size": str(path.stat().st_size)})

    return app


@contextmanager
def serve(root: Path) -> Iterator[Hub]:
    """Serve the models under `root` on a free port of this machine until the block ends."""
    hub = Hub(root)
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:  # else each answer waits 40 ms
        listener.bind(("127.0.0.1", 0))
        hub.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(_app(hub), log_level="critical", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield hub
        finally:
            server.should_exit = True
            thread.join()
