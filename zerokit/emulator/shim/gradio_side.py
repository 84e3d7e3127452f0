"""The changes around Gradio (6.31): who the visitor is, sign-in over plain http, and where the app answers."""

from __future__ import annotations

import base64
import json
import os
import time
import urllib.parse
from http.cookies import CookieError, SimpleCookie
from types import ModuleType
from typing import Any

import httpx

Scope = dict[str, Any]


def _url() -> str:
    return os.environ["ZEROKIT_EMULATOR_URL"]


class Identities:
    """Asks the emulator once for each visitor."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Any]] = {}

    async def of(self, scope: Scope) -> dict[str, Any]:
        """Who makes this request: its header, its Hub token, its cookie, else the run's visitor."""
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        if token := headers.get("x-ip-token"):
            return await self._ask(visitor=_visitor_in(token))
        bearer = headers.get("x-hf-authorization") or headers.get("authorization") or ""
        if bearer.startswith("Bearer hf_"):
            return await self._ask(authorization=bearer)
        return await self._ask(visitor=_cookie(headers.get("cookie", "")) or os.environ["ZEROKIT_EMULATOR_VISITOR"])

    async def _ask(self, *, visitor: str | None = None, authorization: str | None = None) -> dict[str, Any]:
        key = authorization or visitor or ""
        if key not in self._known:
            async with httpx.AsyncClient(base_url=_url(), timeout=10, trust_env=False) as client:
                answer = await client.get(
                    "/-/identity",
                    params={"visitor": visitor} if visitor else {},
                    headers={"authorization": authorization} if authorization else {},
                )
            self._known[key] = answer.raise_for_status().json()
        return self._known[key]


_identities = Identities()


class IdentityMiddleware:
    """Adds the header that the Hub's page would add, to requests that come without."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket") and not any(key == b"x-ip-token" for key, _ in scope["headers"]):
            identity = await _identities.of(scope)
            header = (b"x-ip-token", identity["token"].encode())
            scope = {**scope, "headers": [*scope["headers"], header]}
        await self.app(scope, receive, send)


class SignInMiddleware:
    """Keeps the session's sign-in and the visitor who is billed the same person. Runs inside the session's own."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        session = scope.get("session")
        if session is not None:
            self._settle(scope["path"], session, await _identities.of(scope))
        await self.app(scope, receive, send)

    def _settle(self, path: str, session: dict[str, Any], identity: dict[str, Any]) -> None:
        if path.endswith("/login/callback"):
            session.pop("zerokit_signed_out", None)
            return
        if path.endswith("/logout"):
            session["zerokit_signed_out"] = identity["username"]
            return
        info = session.get("oauth_info")
        if info is not None and info["access_token"] != (identity["oauth"] or {}).get("access_token"):
            info = session.pop("oauth_info") and None
        signed_out = session.get("zerokit_signed_out") == identity["username"]
        if info is None and identity["signed_in"] and not signed_out:
            expires_at = int(time.time()) + identity["oauth"]["expires_in"]
            session["oauth_info"] = {**identity["oauth"], "expires_at": expires_at}


def add_identity(routes: ModuleType) -> None:
    """Put the middlewares into every app that Gradio makes, launched or mounted."""
    create_app, attach_oauth = routes.App.create_app, routes.attach_oauth

    def create_app_with_identity(*args: Any, **kwargs: Any) -> Any:
        app = create_app(*args, **kwargs)
        if not any(middleware.cls is IdentityMiddleware for middleware in app.user_middleware):
            app.add_middleware(IdentityMiddleware)
        return app

    def attach_oauth_on_http(app: Any) -> None:
        app.add_middleware(SignInMiddleware)
        attach_oauth(app)
        for middleware in app.user_middleware:
            if middleware.cls.__name__ == "SessionMiddleware":
                # Over plain http a client drops a Secure cookie (gradio/oauth.py asks for one).
                middleware.kwargs.update(https_only=False, same_site="lax")

    routes.App.create_app = staticmethod(create_app_with_identity)
    routes.attach_oauth = attach_oauth_on_http  # type: ignore[attr-defined]


def no_hot_reload(http_server: ModuleType) -> None:
    """In a Space Gradio opens a reload server on one fixed port (utils.watchfn_spaces): not here."""
    http_server.watchfn_spaces = lambda reloader: None  # type: ignore[attr-defined]


def no_stubs(component_meta: ModuleType) -> None:
    """Gradio writes a type stub of each component beside its source, anew in each process: not here.

    It takes 2 of the 5 seconds that `import gradio` does, and apps that start together write the same files
    (component_meta.py, create_or_modify_pyi).
    """
    component_meta.create_or_modify_pyi = lambda *of: None  # type: ignore[attr-defined]


def report_address(server: ModuleType) -> None:
    """Tell the emulator where the app answers, as soon as it does."""
    startup = server.Server.startup

    async def startup_and_report(self: Any, sockets: Any = None) -> None:
        await startup(self, sockets=sockets)
        if not self.started or not getattr(self, "servers", None) or not self.servers[0].sockets:
            return
        address = self.servers[0].sockets[0].getsockname()
        if isinstance(address, tuple):
            host = "127.0.0.1" if address[0] in ("0.0.0.0", "::") else address[0]
            url = f"http://[{host}]:{address[1]}" if ":" in host else f"http://{host}:{address[1]}"
            async with httpx.AsyncClient(base_url=_url(), timeout=10, trust_env=False) as client:
                await client.post("/-/app", json={"space": os.environ["ZEROKIT_EMULATOR_SPACE"], "url": url})

    server.Server.startup = startup_and_report


def _visitor_in(token: str) -> str | None:
    """The name in an X-IP-Token; its signature is the scheduler's business."""
    try:
        body = token.split(".")[1]
        name = json.loads(base64.urlsafe_b64decode(body + "=="))["visitor"]
    except (IndexError, KeyError, TypeError, ValueError):
        return None
    return name if isinstance(name, str) else None


def _cookie(header: str) -> str | None:
    from ..openid import COOKIE

    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return None
    return None if morsel is None else urllib.parse.unquote(morsel.value)
