"""The Hub-like page around an app, and the small calls that it and the app's shim make."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Body, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from ..quota.platform import PLANS
from .clock import Clock
from .hub import bearer, quota_of
from .openid import COOKIE, oauth_info
from .visitors import SPACE, Account, Visitors


@dataclass
class Space:
    """One app that this emulator serves."""

    id: str
    """As on the Hub: owner/name."""
    cgroup: str
    url: str | None = None
    """Where the app answers; None until it does."""
    group: int | None = None
    """The process group of the app and its workers."""


def plan_answer(account: Account) -> dict[str, str]:
    """The answer to USER_PLAN_REQUEST [docs]: members of an organisation have a free account of their own."""
    name = account.plan.name
    return {"user": "free", "org": name} if name in ("team", "enterprise") else {"user": name}


def page_routes(
    spaces: dict[str, Space], visitors: Visitors, clock: Clock, default_visitor: str, signed_in: Callable[[], bool]
) -> APIRouter:
    """The outer page, the visitor switcher, and the shim's two questions."""
    router = APIRouter()

    def visitor_of(request: Request) -> Account:
        """Who asks: a Hub token, a name, the browser session's cookie, else the run's visitor."""
        account = visitors.by_access_token(bearer(request) or "")
        if account is not None:
            return account
        for name in (request.query_params.get("visitor"), request.cookies.get(COOKIE)):
            try:
                if name and name != SPACE:
                    return visitors.account(name)
            except ValueError:
                continue
        return visitors.account(default_visitor)

    @router.get("/")
    def home() -> Response:
        if len(spaces) == 1:
            return RedirectResponse(f"/spaces/{next(iter(spaces.values())).id}")
        links = "".join(
            f'<li><a href="/spaces/{html.escape(s.id)}">{html.escape(s.id)}</a></li>' for s in spaces.values()
        )
        return HTMLResponse(f"<!doctype html><title>Local ZeroGPU</title><h1>Spaces</h1><ul>{links}</ul>")

    @router.get("/spaces/{owner}/{name}")
    def space_page(owner: str, name: str) -> Response:
        space = spaces.get(f"{owner}/{name}")
        if space is None:
            return HTMLResponse("<!doctype html><title>404</title><h1>No such Space here</h1>", 404)
        facts = {"app": space.url, "space": space.id, "visitors": {n: p.label for n, p in PLANS.items()}}
        page = files("zerokit.emulator").joinpath("page.html").read_text("utf-8")
        # "</" would end the script element that these facts stand in.
        page = page.replace("{{facts}}", json.dumps(facts).replace("</", "<\\/"))
        return HTMLResponse(page.replace("{{title}}", html.escape(space.id)))

    @router.get("/-/visitor")
    def visitor(request: Request) -> dict[str, Any]:
        account = visitor_of(request)
        return {"name": account.name, "plan": plan_answer(account), "quota": quota_of(account, clock)}

    @router.post("/-/visitor")
    def switch(name: str) -> Response:
        try:
            account = visitors.account(name)
        except ValueError as exc:
            return JSONResponse({"error": str(exc)}, 400)
        answer = JSONResponse({"name": account.name})
        answer.set_cookie(COOKIE, account.name, samesite="lax")
        return answer

    @router.get("/-/identity")
    def identity(request: Request) -> dict[str, Any]:
        account = visitor_of(request)
        can_sign_in = account.plan.name not in ("anonymous", SPACE)
        url = str(request.base_url).rstrip("/")
        return {
            "name": account.name,
            "username": account.username,
            "token": visitors.ip_token(account.name),
            "oauth": oauth_info(account, visitors, url) if can_sign_in else None,
            "signed_in": can_sign_in and signed_in(),
        }

    @router.post("/-/app")
    def register(space: str = Body(), url: str = Body()) -> Response:
        if space not in spaces or not url.startswith("http://"):
            return JSONResponse({"error": "no such Space"}, 404)
        spaces[space].url = spaces[space].url or url
        return Response(status_code=204)

    @router.get("/-/avatar/{name}.svg")
    def avatar(name: str) -> Response:
        letter = html.escape(name[:1].upper())
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" fill="#888"/>'
            f'<text x="16" y="22" font-size="18" text-anchor="middle" fill="#fff">{letter}</text></svg>'
        )
        return Response(svg, media_type="image/svg+xml")

    return router
