"""What the meter knows of one visitor, and how a call changes it: pure, without Gradio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Literal, Protocol

from .hub import MAX_RUNS, MAX_SECONDS, Quota, at_least_0, moment_of
from .platform import PLANS, WINDOW_S, Plan

Exactness = Literal["exact", "at most", "unknown"]


class UsageLike(Protocol):
    """What a finished GPU call tells the meter: `zerokit.calls`' Usage, or anything shaped like it."""

    @property
    def ran(self) -> bool: ...
    @property
    def reserved_s(self) -> float | None: ...
    @property
    def granted_s(self) -> float | None: ...
    @property
    def used_s(self) -> float: ...
    @property
    def cold(self) -> bool: ...


@dataclass(frozen=True)
class LastCall:
    """What the last call took, in seconds; None where it was not told."""

    used_s: float
    reserved_s: float | None = None
    cold: bool | None = None


@dataclass(frozen=True)
class MeterState:
    """What the meter shows, and what it must remember to go on counting.

    Args:
        exactness: "exact": the Hub said it of this visitor; "at most": the day of the plan, or the Hub's last
            number, less what this page has used since; "unknown": no number.
        plan: a name in `PLANS`, told by the Hub's page or read off the day's base.
        left_s: GPU seconds left; None when unknown.
        overquota: whether calls beyond the day's base are paid from credits.
        price_s: what the next call reserves; None: not told, the page keeps what it shows.
        page_used_s: seconds this page's calls took since `page_since`; `page_runs` counts them.
        as_of: this machine's time, so that a visitor's wrong clock does not move the numbers.
    """

    exactness: Exactness = "unknown"
    plan: str | None = None
    signed_in: bool = False
    can_sign_in: bool = False
    base_s: float | None = None
    left_s: float | None = None
    resets_at: datetime | None = None
    runs_limit: int | None = None
    runs_left: int | None = None
    runs_reset_at: datetime | None = None
    overquota: bool = False
    overquota_used_s: float | None = None
    price_s: float | None = None
    last: LastCall | None = None
    page_used_s: float = 0.0
    page_runs: int = 0
    page_since: datetime | None = None
    as_of: datetime | None = None

    def as_value(self) -> dict[str, Any]:
        """The state as JSON: times in ISO 8601, UTC."""
        return {name: item.isoformat() if isinstance(item, datetime) else item for name, item in asdict(self).items()}

    @classmethod
    def from_value(cls, value: Any) -> MeterState:
        """Read a state back from the page. The page is not trusted: what does not fit is unknown."""
        if isinstance(value, MeterState):
            return value
        if not isinstance(value, Mapping):
            return cls()
        base_s = at_least_0(value.get("base_s"), MAX_SECONDS)
        left_s = at_least_0(value.get("left_s"), MAX_SECONDS)
        limit = _count(value.get("runs_limit"))
        runs_left = _count(value.get("runs_left"))
        exactness = value.get("exactness")
        plan = value.get("plan")
        return cls(
            exactness=exactness if left_s is not None and exactness in ("exact", "at most") else "unknown",
            plan=plan if isinstance(plan, str) and plan in PLANS else None,
            signed_in=value.get("signed_in") is True,
            can_sign_in=value.get("can_sign_in") is True,
            base_s=base_s,
            left_s=_within(left_s, base_s),
            resets_at=moment_of(value.get("resets_at")),
            runs_limit=limit,
            runs_left=None if runs_left is None else runs_left if limit is None else min(runs_left, limit),
            runs_reset_at=moment_of(value.get("runs_reset_at")),
            overquota=value.get("overquota") is True,
            overquota_used_s=at_least_0(value.get("overquota_used_s"), MAX_SECONDS),
            price_s=at_least_0(value.get("price_s"), MAX_SECONDS),
            last=_last_of(value.get("last")),
            page_used_s=at_least_0(value.get("page_used_s"), MAX_SECONDS) or 0.0,
            page_runs=_count(value.get("page_runs")) or 0,
            page_since=moment_of(value.get("page_since")),
            as_of=moment_of(value.get("as_of")),
        )


def advance(
    before: MeterState,
    quota: Quota | None,
    *,
    signed_in: bool = False,
    can_sign_in: bool = False,
    usage: UsageLike | None = None,
    called: bool = False,
    price_s: float | None = None,
    now: datetime | None = None,
) -> MeterState:
    """The state after a look at the Hub, and after a call when there was one.

    Args:
        before: what was shown; `MeterState()` at first.
        quota: what the Hub says now; None: not known.
        usage: what the call took; None: no call, or one that did not say.
        called: there was a call, though nobody says what it took: the Hub's numbers before and after do.
        price_s: what the next call reserves.
    """
    now = now or datetime.now(timezone.utc)
    if usage is not None and not usage.ran:
        usage = None  # refused before the GPU was reached: it cost nothing, and was no run
    counted = _count_call(before, usage, called or usage is not None, now)
    counted = replace(counted, signed_in=signed_in, can_sign_in=can_sign_in, price_s=price_s, as_of=now)
    if quota is not None:
        after = _by_hub(counted, quota)
        after = _not_behind(before, after, usage) if usage is not None else after
        return _told_by_difference(before, after) if called and usage is None else after
    if signed_in and before.signed_in and before.left_s is not None and _still(before.resets_at, now):
        return _less(counted, before, cost_s(usage), int(called or usage is not None))
    return at_most(counted)


def at_most(state: MeterState) -> MeterState:
    """The day of the visitor's plan, less what this page has used: all that is known without the Hub's word."""
    plan = PLANS.get(state.plan or "")
    if plan is None:
        return replace(state, exactness="unknown", **_NOTHING)
    return replace(
        replace(state, **_NOTHING),
        exactness="at most",
        base_s=float(plan.base_s),
        left_s=max(0.0, plan.base_s - state.page_used_s),
        runs_limit=plan.runs,
        runs_left=None if plan.runs is None else max(0, plan.runs - state.page_runs),
        overquota=plan.overquota,
    )


def cost_s(usage: UsageLike | None) -> float:
    """Seconds of the day that a call took: the wall seconds used, times what the size costs."""
    if usage is None:
        return 0.0
    used_s = at_least_0(usage.used_s, MAX_SECONDS) or 0.0
    if usage.reserved_s and usage.granted_s:
        return used_s * usage.reserved_s / usage.granted_s
    return used_s


_NOTHING: dict[str, Any] = dict.fromkeys(
    ("base_s", "left_s", "resets_at", "runs_limit", "runs_left", "runs_reset_at", "overquota_used_s")
) | {"overquota": False}


def _by_hub(state: MeterState, quota: Quota) -> MeterState:
    plan = _plan_of(state.plan, quota)
    return replace(
        state,
        exactness="exact",
        plan=plan.name if plan else None,
        base_s=quota.base_s,
        left_s=quota.left_s,
        resets_at=quota.resets_at,
        runs_limit=quota.runs_limit,
        runs_left=quota.runs_left,
        runs_reset_at=quota.runs_reset_at,
        overquota=bool(quota.overquota_used_s) or bool(plan and plan.overquota),
        overquota_used_s=quota.overquota_used_s,
    )


def _plan_of(name: str | None, quota: Quota) -> Plan | None:
    """The plan that was told if its day is the Hub's, else the first signed-in plan with such a day."""
    fitting = [plan for plan in PLANS.values() if plan.auth and plan.base_s == quota.base_s]
    return next((plan for plan in fitting if plan.name == name), fitting[0] if fitting else None)


def _count_call(before: MeterState, usage: UsageLike | None, called: bool, now: datetime) -> MeterState:
    if before.page_since is not None and now - before.page_since >= timedelta(seconds=WINDOW_S):
        before = replace(before, page_used_s=0.0, page_runs=0, page_since=None)
    if not called:
        return before
    last = None
    if usage is not None:
        last = LastCall(
            used_s=at_least_0(usage.used_s, MAX_SECONDS) or 0.0,
            reserved_s=at_least_0(usage.reserved_s, MAX_SECONDS),
            cold=bool(usage.cold),
        )
    return replace(
        before,
        last=last,
        page_used_s=min(before.page_used_s + cost_s(usage), MAX_SECONDS),
        page_runs=min(before.page_runs + 1, MAX_RUNS),
        page_since=before.page_since or now,
    )


def _not_behind(before: MeterState, after: MeterState, usage: UsageLike) -> MeterState:
    """The Hub may not have booked the call yet: a number that did not move is then less what the call took."""
    took_s = cost_s(usage)
    if not _same_window(before, after) or took_s < 1 or after.left_s != before.left_s:
        return after
    return _less(after, after, took_s, int(after.runs_left == before.runs_left))


def _less(state: MeterState, of: MeterState, took_s: float, runs: int) -> MeterState:
    return replace(
        state,
        exactness="at most",
        left_s=max(0.0, (of.left_s or 0.0) - took_s),
        runs_left=None if of.runs_left is None else max(0, of.runs_left - runs),
    )


def _told_by_difference(before: MeterState, after: MeterState) -> MeterState:
    if not _same_window(before, after) or before.left_s is None or after.left_s is None:
        return after
    took_s = before.left_s - after.left_s
    if took_s <= 0:
        return after
    return replace(after, last=LastCall(used_s=took_s), page_used_s=min(after.page_used_s + took_s, MAX_SECONDS))


def _same_window(before: MeterState, after: MeterState) -> bool:
    if before.exactness != "exact" or before.base_s != after.base_s:
        return False
    if before.resets_at is None or after.resets_at is None:
        return before.resets_at is None
    return abs(before.resets_at - after.resets_at) < timedelta(minutes=1)


def _still(moment: datetime | None, now: datetime) -> bool:
    return moment is None or moment > now


def _within(value: float | None, limit: float | None) -> float | None:
    return value if value is None or limit is None else min(value, limit)


def _count(value: Any) -> int | None:
    found = at_least_0(value, MAX_RUNS)
    return None if found is None else int(found)


def _last_of(value: Any) -> LastCall | None:
    used_s = at_least_0(value.get("used_s"), MAX_SECONDS) if isinstance(value, Mapping) else None
    if used_s is None:
        return None
    cold = value.get("cold")
    return LastCall(used_s, at_least_0(value.get("reserved_s"), MAX_SECONDS), cold if isinstance(cold, bool) else None)
