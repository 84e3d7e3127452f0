"""What the Hub says is left of a visitor's day: asked with the visitor's token, read leniently, kept for seconds.

Every doubt ends in None, "not known": a missing number is shown as missing, a wrong one would cost the visitor a run.
"""

from __future__ import annotations

import hashlib
import logging
import math
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from zerokit import settings

logger = logging.getLogger(__name__)

TIMEOUT_S = 2.5
KNOWN_FOR_S = 5.0
UNKNOWN_FOR_S = 15.0
MAX_VISITORS = 512
MAX_SECONDS = 10_000_000
MAX_RUNS = 1_000_000
MAX_WINDOW = timedelta(days=8)


@dataclass(frozen=True)
class Quota:
    """A visitor's day on ZeroGPU, as the Hub counts it.

    Args:
        left_s: GPU seconds left, from 0 to `base_s`.
        base_s: GPU seconds of a whole day; None where the Hub did not say.
        resets_at: when the day's seconds come back, with its time zone; None: nothing was used yet, or not said.
        runs_limit: calls of a whole day; None: no limit.
        runs_left: calls left, from 0 to `runs_limit`; None: no limit.
        runs_reset_at: when the runs come back.
        overquota_used_s: seconds beyond the day's base that credits paid for; None where that does not apply.
    """

    left_s: float
    base_s: float | None = None
    resets_at: datetime | None = None
    runs_limit: int | None = None
    runs_left: int | None = None
    runs_reset_at: datetime | None = None
    overquota_used_s: float | None = None


def fetch(token: str | None, *, endpoint: str | None = None) -> Quota | None:
    """Ask the Hub for the visitor's quota; None where it is not known. Never raises.

    Args:
        token: the visitor's OAuth token (scope `read-billing`) or access token; None: not signed in.
        endpoint: the Hub's address; the environment's when None.
    """
    if not token:
        return None
    address = endpoint or settings.hub_endpoint()
    key = _key(token, address)
    cached = _cache.get(key)
    if cached is not None:
        return cached.quota
    generation = _cache.generation
    quota = _ask(token, address)
    _cache.put(key, quota, generation)
    return quota


def forget(token: str | None, *, endpoint: str | None = None) -> None:
    """Drop what is kept for this visitor, so that the next `fetch` is fresh: to be called after a GPU call."""
    if token:
        _cache.drop(_key(token, endpoint or settings.hub_endpoint()))


def parse(answer: Any) -> Quota | None:
    """Read the quota endpoint's JSON; None when it does not say how much is left.

    Source: `GET /api/spaces/zero-gpu/quota`, with `base`, `current` (what is left), `resetsAt`, and where they
    apply `overquotaUsed` and `runs {used, limit, remaining, resetsAt}`.
    """
    if not isinstance(answer, dict):
        return None
    left_s = number(answer.get("current"), MAX_SECONDS)
    if left_s is None:
        return None
    base_s = at_least_0(answer.get("base"), MAX_SECONDS)
    limit, runs_left, runs_reset_at = _runs(answer.get("runs"))
    return Quota(
        left_s=max(0.0, left_s if base_s is None else min(left_s, base_s)),
        base_s=base_s,
        resets_at=moment_of(answer.get("resetsAt")),
        runs_limit=limit,
        runs_left=runs_left,
        runs_reset_at=runs_reset_at,
        overquota_used_s=at_least_0(answer.get("overquotaUsed"), MAX_SECONDS),
    )


def _ask(token: str, endpoint: str) -> Quota | None:
    try:
        from huggingface_hub import get_session

        response = get_session().get(
            f"{endpoint}/api/spaces/zero-gpu/quota",
            headers={"authorization": f"Bearer {token}", "user-agent": "zerokit"},
            timeout=TIMEOUT_S,
            follow_redirects=False,
        )
        if response.status_code != 200:
            logger.info("The Hub did not tell a visitor's quota: HTTP status %s.", response.status_code)
            return None
        return parse(response.json())
    except Exception as problem:  # noqa: BLE001  the network, the proxy, the answer: all mean "not known"
        # The type only: the text of a refused header would have the token in it.
        logger.info("The Hub did not tell a visitor's quota: %s.", type(problem).__name__)
        return None


def _runs(answer: Any) -> tuple[int | None, int | None, datetime | None]:
    if not isinstance(answer, dict):
        return None, None, None
    limit = at_least_0(answer.get("limit"), MAX_RUNS)
    left = number(answer.get("remaining"), MAX_RUNS)
    used = at_least_0(answer.get("used"), MAX_RUNS)
    if left is None and limit is not None and used is not None:
        left = limit - used
    if left is None:
        return None, None, None
    runs_left = math.floor(max(0.0, left if limit is None else min(left, limit)))
    return (None if limit is None else math.floor(limit)), runs_left, moment_of(answer.get("resetsAt"))


def number(value: Any, high: float) -> float | None:
    """The value when it is a number from -high to high (not NaN, a text or a truth value); else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if -high <= value <= high else None


def at_least_0(value: Any, high: float) -> float | None:
    """The value when it is a number from 0 to high; else None."""
    found = number(value, high)
    return found if found is not None and found >= 0 else None


def moment_of(value: Any) -> datetime | None:
    """An ISO time as UTC when it is one, and near enough to be a quota's; else None."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        moment = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None
    return moment if abs(moment - datetime.now(timezone.utc)) <= MAX_WINDOW else None


@dataclass(frozen=True)
class _Kept:
    quota: Quota | None
    until: float


class _Cache:
    """Answers by visitor, for seconds, at most MAX_VISITORS of them; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self.generation = 0

    def get(self, key: bytes) -> _Kept | None:
        with self._lock:
            kept = self._kept.get(key)
            return kept if kept is not None and kept.until > time.monotonic() else None

    def put(self, key: bytes, quota: Quota | None, generation: int) -> None:
        with self._lock:
            if generation != self.generation:
                return  # asked before a call ended, answered after: the number is old already
            until = time.monotonic() + (UNKNOWN_FOR_S if quota is None else KNOWN_FOR_S)
            self._kept[key] = _Kept(quota, until)
            self._kept.move_to_end(key)
            while len(self._kept) > MAX_VISITORS:
                self._kept.popitem(last=False)

    def drop(self, key: bytes) -> None:
        with self._lock:
            self.generation += 1
            self._kept.pop(key, None)

    def __len__(self) -> int:
        return len(self._kept)


_SALT = secrets.token_bytes(32)
_cache = _Cache()


def _key(token: str, endpoint: str) -> bytes:
    return hashlib.blake2b(f"{endpoint}\n{token}".encode("utf-8", "replace"), key=_SALT).digest()
