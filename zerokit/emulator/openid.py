"""Sign-in with the emulated Hub: the OpenID provider behind `gr.LoginButton` (gradio 6.31, gradio/oauth.py)."""

from __future__ import annotations

import base64
import html
import json
import secrets
import time
import urllib.parse
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from ..quota.platform import PLANS
from .hub import bearer
from .visitors import SPACE, Account, Visitors

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

# Which visitor a browser session is; the app's port sees it too, for cookies do not know ports.
COOKIE = "zerokit_visitor"
CLIENT_ID = "zerokit-emulator"
CLIENT_SECRET = "zerokit-emulator-secret"  # no secret: it guards nothing outside this machine
SCOPES = "openid profile read-billing"
SESSION_S = 8 * 3600


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _b64_int(number: int) -> str:
    return _b64(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def userinfo(account: Account, url: str) -> dict[str, Any]:
    """The OpenID claims of a visitor, with the Hub's own names."""
    return {
        "sub": f"user-{account.username}",
        "name": f"{account.plan.label} visitor",
        "preferred_username": account.username,
        "profile": f"{url}/{account.username}",
        "picture": f"{url}/-/avatar/{account.username}.svg",
        "website": "",
        "isPro": account.plan.name == "pro",
        "iss": url,
        "aud": CLIENT_ID,
    }


def oauth_info(account: Account, visitors: Visitors, url: str) -> dict[str, Any]:
    """What Gradio keeps in the session of a visitor who has signed in."""
    return {
        "access_token": visitors.access_token(account.name),
        "token_type": "bearer",
        "expires_in": SESSION_S,
        "expires_at": int(time.time()) + SESSION_S,
        "scope": SCOPES,
        "userinfo": userinfo(account, url),
    }


class OpenId:
    """The provider: one click, no password."""

    def __init__(self, visitors: Visitors, default_visitor: str) -> None:
        self._visitors = visitors
        self._default = default_visitor
        self._codes: dict[str, tuple[str, str | None]] = {}

    @cached_property
    def _key(self) -> RSAPrivateKey:
        from cryptography.hazmat.primitives.asymmetric import rsa

        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def routes(self) -> APIRouter:
        router = APIRouter()

        @router.get("/.well-known/openid-configuration")
        def configuration(request: Request) -> dict[str, Any]:
            url = _url(request)
            return {
                "issuer": url,
                "authorization_endpoint": f"{url}/oauth/authorize",
                "token_endpoint": f"{url}/oauth/token",
                "userinfo_endpoint": f"{url}/oauth/userinfo",
                "jwks_uri": f"{url}/.well-known/jwks.json",
                "scopes_supported": SCOPES.split(),
                "response_types_supported": ["code"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "subject_types_supported": ["public"],
            }

        @router.get("/.well-known/jwks.json")
        def jwks() -> dict[str, Any]:
            numbers = self._key.public_key().public_numbers()
            key = {"kty": "RSA", "kid": "zerokit", "use": "sig", "alg": "RS256"}
            return {"keys": [{**key, "n": _b64_int(numbers.n), "e": _b64_int(numbers.e)}]}

        @router.get("/oauth/authorize")
        def authorize(
            request: Request, redirect_uri: str, state: str = "", nonce: str | None = None, visitor: str | None = None
        ) -> Response:
            return self._authorize(request, redirect_uri, state, nonce, visitor)

        @router.post("/oauth/token")
        def token(request: Request, code: Annotated[str, Form()]) -> Response:
            return self._token(code, _url(request))

        @router.get("/oauth/userinfo")
        def info(request: Request) -> Response:
            account = self._visitors.by_access_token(bearer(request) or "")
            if account is None:
                return JSONResponse({"error": "invalid_token"}, 401)
            return JSONResponse(userinfo(account, _url(request)))

        return router

    def _authorize(
        self, request: Request, redirect_uri: str, state: str, nonce: str | None, chosen: str | None
    ) -> Response:
        if urllib.parse.urlsplit(redirect_uri).hostname not in ("127.0.0.1", "localhost", "::1"):
            return JSONResponse({"error": "redirect_uri is not on this machine"}, 400)
        name = chosen or request.cookies.get(COOKIE) or self._default
        try:
            account = self._visitors.account(name)
        except ValueError as exc:
            return JSONResponse({"error": str(exc)}, 400)
        if account.plan.name in ("anonymous", SPACE):
            return HTMLResponse(_choose_page(request))
        code = secrets.token_urlsafe(18)
        self._codes[code] = (account.name, nonce)
        joint = "&" if "?" in redirect_uri else "?"
        query = urllib.parse.urlencode({"code": code, "state": state})
        answer = RedirectResponse(f"{redirect_uri}{joint}{query}", 302)
        # Billing follows the sign-in: from here on this browser session is that visitor.
        answer.set_cookie(COOKIE, account.name, samesite="lax")
        return answer

    def _token(self, code: str, url: str) -> Response:
        name, nonce = self._codes.pop(code, (None, None))
        if name is None:
            return JSONResponse({"error": "invalid_grant"}, 400)
        account = self._visitors.account(name)
        info = oauth_info(account, self._visitors, url)
        claims = {**info.pop("userinfo"), "iat": int(time.time()), "exp": info.pop("expires_at")}
        if nonce is not None:
            claims["nonce"] = nonce
        return JSONResponse({**info, "id_token": self._signed(claims)})

    def _signed(self, claims: dict[str, Any]) -> str:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        head = _b64(json.dumps({"alg": "RS256", "typ": "JWT", "kid": "zerokit"}).encode())
        body = _b64(json.dumps(claims).encode())
        signature = self._key.sign(f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{head}.{body}.{_b64(signature)}"


def _url(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _choose_page(request: Request) -> str:
    links = []
    for name, plan in PLANS.items():
        if name != "anonymous":
            url = request.url.include_query_params(visitor=name)
            links.append(f'<li><a href="{html.escape(str(url))}">Sign in as {html.escape(plan.label)}</a></li>')
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        '<meta name="viewport" content="width=device-width"><title>Sign in</title>'
        '<body style="font:1rem system-ui;margin:2rem auto;max-width:24rem;padding:0 1rem">'
        f"<h1>Sign in to the local Hub</h1><p>No password: who do you want to be?</p><ul>{''.join(links)}</ul></body>"
    )
