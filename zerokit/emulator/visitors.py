"""Who uses an app: an account with its day's quota, and the tokens that stand for it.

A visitor is named after its plan ("free"), or plan and a name of one's own ("free:ann") where a test needs several
of a kind. "space" is the app itself: it is billed when a call comes without a visitor (`spaces` 0.51.3,
client.schedule: "Space app has reached its GPU limit").
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
from dataclasses import dataclass

from ..quota.platform import PLANS, WINDOW_S, Plan, plan

SPACE = "space"
# What an app gets for itself is not published; little enough that a default call (60 s declared) does not fit.
SPACE_PLAN = Plan(name=SPACE, label="The app itself", base_s=60, cap_s=3600, priority=0, overquota=False)
_MINTED = "hf_oauth_zerokit_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,38}")


def plan_of(name: str) -> Plan:
    """The plan in a visitor's name.

    Raises:
        ValueError: no such plan (with the nearest one), or a name that no account could have.
    """
    plan_name, colon, own = name.partition(":")
    found = SPACE_PLAN if name == SPACE else plan(plan_name)
    if colon and not _NAME.fullmatch(own):
        raise ValueError(f"A visitor's own name is letters, digits, - and _ (at most 39), not {own!r}.")
    return found


@dataclass
class Account:
    """One visitor's quota: what was used in the window that runs now."""

    name: str
    plan: Plan
    used_s: float = 0.0
    overquota_s: float = 0.0
    runs_used: int = 0
    pending_s: int = 0
    """Reserved by calls that run now."""
    window_start: float | None = None
    """Calendar seconds of the first use; None: not used yet."""

    @property
    def username(self) -> str:
        """The account's name on the Hub."""
        return self.name.replace(":", "-")

    def refresh(self, now: float) -> None:
        """Begin a new day when the window is over [docs: 24 h, fixed, from the first use]."""
        if self.window_start is not None and now >= self.window_start + WINDOW_S:
            self.used_s, self.overquota_s, self.runs_used, self.window_start = 0.0, 0.0, 0, None

    def touch(self, now: float) -> None:
        """Open the window if this is the first use."""
        self.refresh(now)
        if self.window_start is None:
            self.window_start = now

    def left_s(self, now: float) -> float:
        self.refresh(now)
        return max(0.0, self.plan.base_s - self.used_s)

    def runs_left(self, now: float) -> int | None:
        """Calls left in the window; None: no limit applies."""
        self.refresh(now)
        return None if self.plan.runs is None else max(0, self.plan.runs - self.runs_used)

    def resets_at(self, now: float) -> float | None:
        self.refresh(now)
        return None if self.window_start is None else self.window_start + WINDOW_S

    def charge(self, seconds: float, now: float) -> None:
        """Take used seconds from the base first; what is beyond it is paid from credits where the plan has them."""
        self.touch(now)
        base = min(seconds, max(0.0, self.plan.base_s - self.used_s))
        self.used_s += base
        if self.plan.overquota:
            self.overquota_s += seconds - base

    def set_left(self, seconds: float, now: float) -> None:
        """Leave that many seconds in a window that runs."""
        if not 0 <= seconds <= self.plan.base_s:
            raise ValueError(f"{self.name} has 0 to {self.plan.base_s} s a day, so {seconds!r} s cannot be left.")
        self.touch(now)
        self.used_s = self.plan.base_s - seconds

    def set_runs(self, runs_left: int, now: float) -> None:
        """Leave that many runs in a window that runs."""
        if self.plan.runs is None:
            raise ValueError(f"{self.plan.label} has no limit of runs.")
        if not 0 <= runs_left <= self.plan.runs:
            raise ValueError(f"{self.name} has 0 to {self.plan.runs} runs a day, so {runs_left!r} cannot be left.")
        self.touch(now)
        self.runs_used = self.plan.runs - runs_left


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Visitors:
    """Every account of one emulator, found by name or by token."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._accounts: dict[str, Account] = {}
        self._by_access_token: dict[str, str] = {}
        for name in (*PLANS, SPACE):
            self.account(name)

    def account(self, name: str) -> Account:
        """The account of that name, opened on first mention."""
        if name not in self._accounts:
            self._accounts[name] = Account(name, plan_of(name))
            self._by_access_token[self.access_token(name)] = name
        return self._accounts[name]

    def ip_token(self, name: str) -> str:
        """The X-IP-Token that the Hub page would add: JWT-shaped, for `spaces` reads its payload."""
        account = self.account(name)
        head = _b64(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
        body = _b64(json.dumps({"visitor": name, "plan": account.plan.name}).encode())
        return f"{head}.{body}.{self._sign(f'{head}.{body}')}"

    def access_token(self, name: str) -> str:
        """The Hub token of a visitor who signs in."""
        return f"{_MINTED}{self._sign(name)}"

    def by_ip_token(self, token: str) -> Account | None:
        """The account of an X-IP-Token of this emulator; None for any other."""
        head, _, rest = token.partition(".")
        body, _, signature = rest.partition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(f"{head}.{body}").encode()):
            return None
        payload = json.loads(base64.urlsafe_b64decode(body + "=="))
        return self.account(payload["visitor"])

    def by_access_token(self, token: str) -> Account | None:
        """The account of a Hub token of this emulator; None for any other, and for who cannot sign in."""
        name = self._by_access_token.get(token)
        return None if name is None or name.startswith((SPACE, "anonymous")) else self._accounts[name]

    def is_minted(self, token: str) -> bool:
        """Whether an emulator made that Hub token, this one or one of before."""
        return token.startswith(_MINTED)

    def _sign(self, text: str) -> str:
        return _b64(hmac.new(self._secret, text.encode(), hashlib.sha256).digest())
