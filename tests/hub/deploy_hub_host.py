"""A Space's host: a Gradio app behind a door, as *.hf.space has one.

A browser comes with `?__sign=` and a pass of the Hub, and gets the cookie `spaces-jwt`; to a private Space nobody comes
without that cookie. What the app would see of each request is remembered.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
import uvicorn
from deploy_hub import Hub, Space
from fastapi import FastAPI
from starlette.datastructures import QueryParams
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse

COOKIE = "spaces-jwt"


@dataclass
class Host:
    """The host of one Space, and what came to it."""

    url: str
    asked: list[dict[str, Any]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)


class Door:
    """Lets in who has a pass."""

    def __init__(self, app: Any, hub: Hub, space: Space, host: Host) -> None:
        self._app, self._hub, self._space, self._host = app, hub, space, host

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request = HTTPConnection(scope)
        self._host.asked.append(
            {"path": request.url.path, "query": request.url.query, "headers": dict(request.headers)}
        )
        signed = QueryParams(scope["query_string"]).get("__sign")
        if signed is not None:
            answer = RedirectResponse(request.url.path, 302)
            if self._is_pass(signed):
                answer.set_cookie(COOKIE, signed, path="/", httponly=True)
            return await answer(scope, receive, send)
        if self._space.private and not self._is_pass(request.cookies.get(COOKIE, "")):
            return await PlainTextResponse("Sorry, we can't find the page.", 404)(scope, receive, send)
        return await self._app(scope, receive, send)

    def _is_pass(self, given: str) -> bool:
        return self._hub.passes.get(given) == self._space.name


class Opened:
    """The servers of a test."""

    def __init__(self) -> None:
        self._running: list[tuple[uvicorn.Server, threading.Thread, socket.socket]] = []

    def enter(self, app: gr.Blocks, hub: Hub, space: Space) -> Host:
        listener = socket.socket(proto=socket.IPPROTO_TCP)  # else each answer waits 40 ms
        listener.bind(("127.0.0.1", 0))
        host = Host(f"http://127.0.0.1:{listener.getsockname()[1]}")
        for function in app.fns.values():
            function.fn = _counted(function.fn, f"/{function.api_name}", host)
        inner = gr.mount_gradio_app(FastAPI(), app, path="/")
        server = uvicorn.Server(uvicorn.Config(Door(inner, hub, space, host), log_level="critical", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        self._running.append((server, thread, listener))
        return host

    def close(self) -> None:
        for server, thread, listener in self._running:
            server.should_exit = server.force_exit = True
            thread.join()
            listener.close()


def _counted(function: Any, name: str, host: Host) -> Any:
    def called(*args: Any) -> Any:
        host.calls.append(name)
        return function(*args)

    return called


@contextmanager
def serve_app() -> Iterator[Opened]:
    """What is opened within the block is closed at its end."""
    opened = Opened()
    try:
        yield opened
    finally:
        opened.close()
