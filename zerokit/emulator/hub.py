"""The Hub's side: who am I, the quota, and every read of a model passed on to the real Hub.

Sources: the quota's fields are the Hub's (`huggingface_hub` 2.4, get_zero_gpu_quota, plus `runs`, which it drops);
whoami-v2 is what `huggingface_hub.whoami` returns.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from typing import Any

import httpx
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from .clock import Clock
from .records import Recording
from .visitors import Account, Visitors

# Reads that the Hub serves over POST: huggingface_hub.HfApi.get_paths_info.
_POST_READS = re.compile(r"/api/(models|datasets|spaces)/.+/paths-info/.+")
_HOP = {"connection", "keep-alive", "proxy-authenticate", "te", "trailer", "transfer-encoding", "upgrade", "host"}
_ORGANISATIONS = ("team", "enterprise")


def iso(epoch_s: float | None) -> str | None:
    """A moment as the Hub writes it."""
    if epoch_s is None:
        return None
    return datetime.fromtimestamp(epoch_s, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def quota_of(account: Account, clock: Clock) -> dict[str, Any]:
    """The body of the quota endpoint for one visitor; `current` is what is LEFT."""
    now = clock.calendar()
    resets_at = iso(account.resets_at(now))
    quota: dict[str, Any] = {
        "base": account.plan.base_s,
        "current": int(account.left_s(now)),
        "resetsAt": resets_at,
    }
    if account.plan.overquota:
        quota["overquotaUsed"] = round(account.overquota_s)
    if account.plan.runs is not None:
        quota["runs"] = {
            "used": account.runs_used,
            "limit": account.plan.runs,
            "remaining": account.runs_left(now),
            "resetsAt": resets_at,
        }
    return quota


def whoami_of(account: Account, url: str) -> dict[str, Any]:
    """The body of whoami-v2 for one visitor."""
    organisations = []
    if account.plan.name in _ORGANISATIONS:
        organisations = [
            {
                "type": "org",
                "id": f"org-{account.plan.name}",
                "name": f"{account.plan.name}-org",
                "fullname": f"{account.plan.label} organisation",
                "plan": account.plan.name,
                "isEnterprise": account.plan.name == "enterprise",
                "roleInOrg": "write",
                "avatarUrl": f"{url}/-/avatar/{account.plan.name}-org.svg",
            }
        ]
    return {
        "type": "user",
        "id": f"user-{account.username}",
        "name": account.username,
        "fullname": f"{account.plan.label} visitor",
        "email": None,
        "emailVerified": True,
        "canPay": account.plan.overquota,
        "isPro": account.plan.name == "pro",
        "avatarUrl": f"{url}/-/avatar/{account.username}.svg",
        "orgs": organisations,
        "auth": {"type": "oauth", "accessToken": {"displayName": "ZeroKit emulator", "role": "read"}},
    }


def bearer(request: Request) -> str | None:
    """The token of an Authorization header."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" and token.strip() else None


def hub_routes(visitors: Visitors, clock: Clock) -> APIRouter:
    """What the emulated Hub answers itself."""
    router = APIRouter()

    def signed_in(request: Request) -> Account | None:
        token = bearer(request)
        return None if token is None else visitors.by_access_token(token)

    @router.get("/api/whoami-v2")
    def whoami(request: Request) -> Response:
        account = signed_in(request)
        if account is None:
            return JSONResponse({"error": "Invalid username or password."}, 401)
        return JSONResponse(whoami_of(account, str(request.base_url).rstrip("/")))

    @router.get("/api/spaces/zero-gpu/quota")
    def quota(request: Request) -> Response:
        account = signed_in(request)
        if account is None:
            return JSONResponse({"error": "Invalid username or password."}, 401)
        return JSONResponse(quota_of(account, clock))

    return router


class Upstream:
    """Passes reads on to the real Hub: streamed, status and headers kept, no redirect followed.

    A token that this emulator minted never leaves it.
    """

    def __init__(self, endpoint: str, visitors: Visitors, recording: Recording) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._visitors = visitors
        self._recording = recording
        self._client: httpx.AsyncClient | None = None

    def routes(self) -> APIRouter:
        """Must be the last routes of the app: they take every path."""
        router = APIRouter()
        methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

        @router.api_route("/{path:path}", methods=methods, include_in_schema=False)
        async def other(request: Request, path: str) -> Response:
            is_read = request.method in ("GET", "HEAD") or (
                request.method == "POST" and _POST_READS.fullmatch(request.url.path) is not None
            )
            if not is_read or path.startswith(("-/", "zerogpu/")):
                return self._unknown(request)
            return await self._pass_on(request)

        return router

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    def _unknown(self, request: Request) -> Response:
        path = request.url.path
        self._recording.line("unknown", method=request.method, path=path)
        message = f"The local ZeroGPU does not know {request.method} {path}."
        print(f"zerokit: {message}", flush=True)
        return JSONResponse({"error": message}, 404)

    async def _pass_on(self, request: Request) -> Response:
        if self._client is None:
            timeout = httpx.Timeout(60, connect=10)
            # Bytes are handed on as they come: httpx must not ask for a compression that the program did not.
            self._client = httpx.AsyncClient(timeout=timeout, headers={"accept-encoding": "identity"})
        headers = [(k, v) for k, v in request.headers.items() if k not in _HOP and k not in ("cookie", "x-ip-token")]
        token = bearer(request)
        if token is not None and self._visitors.is_minted(token):
            headers = [(k, v) for k, v in headers if k != "authorization"]
        url = self._endpoint + request.url.path + (f"?{request.url.query}" if request.url.query else "")
        passed = self._client.build_request(request.method, url, headers=headers, content=await request.body())
        try:
            answer = await self._client.send(passed, stream=True)
        except httpx.HTTPError as exc:
            reason = f"{type(exc).__name__}: {exc}"
            self._recording.line("hub", method=request.method, path=request.url.path, error=reason)
            return JSONResponse({"error": f"The Hub at {self._endpoint} did not answer ({reason})."}, 502)
        self._recording.line("hub", method=request.method, path=request.url.path, status=answer.status_code)
        response = StreamingResponse(_stream(answer), answer.status_code)
        response.raw_headers = [
            (k.lower().encode("latin-1"), v.encode("latin-1"))
            for k, v in answer.headers.multi_items()
            if k.lower() not in _HOP
        ]
        return response


async def _stream(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()
