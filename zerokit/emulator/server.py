"""The emulator's one server: scheduler, Hub and page on one loopback port, in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware

from .clock import Clock
from .hub import Upstream, hub_routes
from .openid import OpenId
from .page import Space, page_routes
from .scheduler import Scheduler
from .visitors import Visitors
from .wire import wire_routes

HOST = "127.0.0.1"
TICK_S = 0.05


def make_app(
    *,
    scheduler: Scheduler,
    visitors: Visitors,
    clock: Clock,
    spaces: dict[str, Space],
    upstream: Upstream,
    visitor: str,
    signed_in: bool,
) -> FastAPI:
    """All routes; the scheduler's clockwork runs as long as the app does."""

    async def clockwork() -> None:
        while True:
            await asyncio.sleep(TICK_S)
            scheduler.tick()

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(clockwork())
        yield
        task.cancel()
        await upstream.close()

    app = FastAPI(lifespan=lifespan, openapi_url=None)
    # A page elsewhere that has its name resolve to this machine gets nothing.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    app.include_router(wire_routes(scheduler, visitors), prefix="/zerogpu")
    app.include_router(hub_routes(visitors, clock))
    app.include_router(OpenId(visitors, visitor).routes())
    app.include_router(page_routes(spaces, visitors, clock, visitor, lambda: signed_in))
    app.include_router(upstream.routes())
    return app


class Server:
    """Runs an ASGI app in a thread, on a free loopback port."""

    def __init__(self, app: FastAPI) -> None:
        # With the protocol named asyncio sends at once; without it each answer waits 40 ms for the client's kernel.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((HOST, 0))
        self.url = f"http://{HOST}:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(app, log_config=None, log_level="critical", ws="none", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="zerokit-emulator", daemon=True
        )

    def start(self) -> None:
        self._thread.start()
        give_up_at = time.monotonic() + 30
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > give_up_at:
                raise RuntimeError("The emulator's server did not start.")
            time.sleep(0.01)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._socket.close()
