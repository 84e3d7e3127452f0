"""The Hub's quota answer: what is read from it, what is kept, and what must never get out."""

import json
import logging
import threading
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import huggingface_hub
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerokit.quota import hub

TOKEN = "hf_oauth_secret_of_a_visitor"
SOON = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(hours=5)
ANSWER = {
    "base": 300,
    "current": 212,
    "resetsAt": SOON.isoformat().replace("+00:00", ".000Z"),
    "runs": {"used": 3, "limit": 8, "remaining": 5, "resetsAt": SOON.isoformat()},
}


class Session:
    """Stands for huggingface_hub's client: answers with `status` and `body`, or raises `fault`."""

    def __init__(self):
        self.status, self.body, self.fault, self.asked = 200, json.dumps(ANSWER), None, []

    def get(self, url, *, headers, timeout, follow_redirects):
        self.asked.append((url, headers["authorization"]))
        assert not follow_redirects
        assert timeout <= 5
        if self.fault:
            raise self.fault
        return SimpleNamespace(status_code=self.status, json=lambda: json.loads(self.body))


@pytest.fixture
def session(monkeypatch):
    session = Session()
    monkeypatch.setattr(huggingface_hub, "get_session", lambda: session)
    monkeypatch.setattr(hub, "_cache", hub._Cache())
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.test/")
    return session


def test_reads_the_whole_answer(session):
    quota = hub.fetch(TOKEN)
    assert quota == hub.Quota(
        left_s=212, base_s=300, resets_at=SOON, runs_limit=8, runs_left=5, runs_reset_at=SOON, overquota_used_s=None
    )
    assert session.asked == [("http://hub.test/api/spaces/zero-gpu/quota", f"Bearer {TOKEN}")]


def test_a_day_not_begun_and_no_runs_limit():
    quota = hub.parse({"base": 2400, "current": 2400, "resetsAt": None, "overquotaUsed": 0})
    assert quota == hub.Quota(left_s=2400, base_s=2400, overquota_used_s=0)


@pytest.mark.parametrize("status", [301, 302, 400, 401, 403, 404, 429, 500, 503])
def test_refusals_are_unknown(session, status):
    session.status = status
    assert hub.fetch(TOKEN) is None


@pytest.mark.parametrize("body", ["", "null", "[]", "0", '"x"', "<html>", "{", "{}", '{"base": 300}', "[" * 2000])
def test_garbage_is_unknown(session, body):
    session.body = body
    assert hub.fetch(TOKEN) is None


@pytest.mark.parametrize("fault", [TimeoutError(), OSError("no route"), ValueError("bad header"), RuntimeError()])
def test_a_failing_network_is_unknown(session, fault):
    session.fault = fault
    assert hub.fetch(TOKEN) is None


@pytest.mark.parametrize("token", [None, ""])
def test_nobody_signed_in_asks_nothing(session, token):
    assert hub.fetch(token) is None
    hub.forget(token)
    assert session.asked == []


@pytest.mark.parametrize(
    "left", [None, "212", True, [], {}, float("nan"), float("inf"), float("-inf"), 1e300, 10**400, "nan"]
)
def test_what_is_no_number_of_seconds_is_unknown(left):
    assert hub.parse({"base": 300, "current": left}) is None


def test_overdrawn_is_nothing_left():
    quota = hub.parse({"base": 300, "current": -12.5, "runs": {"limit": 8, "used": 11}})
    assert (quota.left_s, quota.runs_left) == (0, 0)


@pytest.mark.parametrize("moment", ["soon", "", "2026-13-45T99:99Z", 1700000000, "9999-12-31T23:59:59Z", "x" * 10_000])
def test_a_strange_reset_time_is_not_known(moment):
    quota = hub.parse(ANSWER | {"resetsAt": moment})
    assert quota.resets_at is None
    assert quota.left_s == 212


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.just(SOON.isoformat()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
answers = st.fixed_dictionaries(
    {},
    optional={
        "base": json_values,
        "current": json_values,
        "resetsAt": json_values,
        "overquotaUsed": json_values,
        "runs": json_values
        | st.fixed_dictionaries({}, optional=dict.fromkeys(("used", "limit", "remaining", "resetsAt"), json_values)),
    },
)


@given(answers | json_values)
def test_never_negative_never_more_than_the_day_never_an_exception(answer):
    quota = hub.parse(answer)
    if quota is None:
        return
    assert 0 <= quota.left_s <= (hub.MAX_SECONDS if quota.base_s is None else quota.base_s)
    assert quota.runs_left is None or quota.runs_left >= 0
    assert quota.runs_left is None or quota.runs_limit is None or quota.runs_left <= quota.runs_limit
    assert quota.overquota_used_s is None or quota.overquota_used_s >= 0
    assert quota.resets_at is None or quota.resets_at.tzinfo is not None


def test_kept_for_seconds_by_visitor_and_hub(session, monkeypatch):
    clock = [100.0]
    # The module's own: a whole process whose clock stands still would let servers in other threads sleep for hours.
    monkeypatch.setattr(hub, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    hub.fetch(TOKEN)
    hub.fetch(TOKEN)
    assert len(session.asked) == 1
    hub.fetch("another")
    hub.fetch(TOKEN, endpoint="http://elsewhere.test")
    assert len(session.asked) == 3
    clock[0] += hub.KNOWN_FOR_S + 0.1
    hub.fetch(TOKEN)
    assert len(session.asked) == 4


def test_unknown_is_kept_too_so_that_a_busy_hub_is_left_alone(session):
    session.status = 429
    assert [hub.fetch(TOKEN) for _ in range(5)] == [None] * 5
    assert len(session.asked) == 1


def test_forgotten_after_a_call(session):
    hub.fetch(TOKEN)
    hub.forget(TOKEN)
    session.body = json.dumps(ANSWER | {"current": 200})
    assert hub.fetch(TOKEN).left_s == 200


def test_an_answer_from_before_the_call_is_not_kept(session):
    real_get = session.get

    def get_while_a_call_ends(*args, **options):
        answer = real_get(*args, **options)
        hub.forget(TOKEN)
        return answer

    session.get = get_while_a_call_ends
    hub.fetch(TOKEN)
    session.get = real_get
    hub.fetch(TOKEN)
    assert len(session.asked) == 2


def test_the_cache_is_bounded(session, monkeypatch):
    monkeypatch.setattr(hub, "MAX_VISITORS", 10)
    for visitor in range(50):
        hub.fetch(f"token-{visitor}")
    assert len(hub._cache) == 10
    hub.fetch("token-49")
    assert len(session.asked) == 50


def test_many_threads(session):
    def visit(number):
        for turn in range(50):
            assert hub.fetch(f"token-{(number + turn) % 7}").left_s == 212
            hub.forget(f"token-{turn % 7}")

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("fault", [None, ValueError(f"Illegal header value b'Bearer {TOKEN}'")])
def test_the_token_stays_inside(session, fault, caplog, capfd):
    session.fault = fault
    session.status = 401
    with caplog.at_level(logging.DEBUG):
        quota = hub.fetch(TOKEN)
    out, err = capfd.readouterr()
    kept = repr(hub._cache.__dict__) + repr(quota) + repr(list(hub._cache._kept))
    assert TOKEN not in caplog.text + out + err + kept
    assert caplog.records
