"""`zerokit status` against a Hub on this machine."""

from __future__ import annotations

import pytest

from zerokit.deploy import errors
from zerokit.deploy.status import MAX_ERRORS, last_error
from zerokit.quota import hub as quota_hub

TRACEBACK = [
    "Traceback (most recent call last):",
    '  File "/app/app.py", line 3, in <module>',
    "    import nosuch",
    "ModuleNotFoundError: No module named 'nosuch'",
]


@pytest.fixture(autouse=True)
def _no_quota_of_before():
    quota_hub._cache = quota_hub._Cache()


def test_a_space_that_runs(hub, me, run):
    me.quota = {"base": 300, "current": 212, "resetsAt": None, "runs": {"used": 3, "limit": 8, "remaining": 5}}
    hub.space("me/app", hardware="zero-a10g", requested="zero-a10g")
    code, out, err = run("status", "me/app")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "me/app (public): running on zero-a10g",
        f"  {hub.url}/spaces/me/app",
        "  Sleep: after 48 h without a visit",
        "  Errors: none in its log",
        "  Your quota: 3 min 32 s of 5 min and 5 runs left",
    ]
    assert hub.writes() == []


def test_a_space_whose_app_ended(hub, me, run):
    hub.space("me/app", "RUNTIME_ERROR", private=True, requested="zero-a10g", error_message="Exit code: 1").run_log = [
        "===== Application Startup =====",
        *TRACEBACK,
    ]
    code, out, _ = run("status", "me/app")
    assert code == 1
    assert "me/app (private): runtime error on no hardware, soon on zero-a10g" in out
    assert "The Hub says: Exit code: 1" in out
    for line in TRACEBACK:
        assert f"  | {line}" in out


def test_a_space_that_was_not_built_shows_its_build_log(hub, me, run):
    hub.space("me/app", "BUILD_ERROR").build_log = ["Step 1", "ERROR: No matching distribution found for nosuch"]
    code, out, _ = run("status", "me/app")
    assert code == 1
    assert "  | ERROR: No matching distribution found for nosuch" in out


def test_without_a_token_the_log_and_the_quota_are_not_known(hub, run, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    hub.space("you/app", requested="cpu-basic", sleep_time=None)
    code, out, _ = run("status", "you/app")
    assert code == 0
    assert "its log is for those who may write in it" in out
    assert "Your quota: not known without a token" in out
    assert "Sleep: by the Hub's own rule" in out
    assert not any("/logs/" in path or "quota" in path for _, path in hub.asked)


def test_a_quota_that_the_hub_does_not_tell(hub, me, run):
    hub.space("me/app")
    _, out, _ = run("status", "me/app")
    assert "a fine-grained token needs the permission to read billing" in out


def test_somebody_elses_log_is_not_needed(hub, me, run):
    hub.space("you/app", sleep_time=-1)
    code, out, _ = run("status", "you/app")
    assert code == 0
    assert "Sleep: never" in out


@pytest.mark.parametrize(
    ("space", "title", "said"),
    [
        ("me/none", errors.SpaceNotFound.title, "knows no Space me/none"),
        ("me", "This cannot work", 'A Space is named "owner/name", not "me".'),
        ("../../etc", "This cannot work", "not"),
        ("https://huggingface.co/spaces/me/app?x=1", "This cannot work", "--space me/app"),
    ],
)
def test_a_space_that_is_not_there(hub, me, run, space, title, said):
    code, out, err = run("status", space)
    assert code == 1
    assert err.startswith(title)
    assert said in " ".join(err.split())
    assert out == ""


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([], ()),
        (["all is well", "no trouble"], ()),
        (["x", *TRACEBACK, "more"], tuple(TRACEBACK)),
        ([*TRACEBACK, "next", *TRACEBACK[:1]], tuple(TRACEBACK[:1])),
        (["a", "CUDA error: out of memory", "b", "ValueError: no"], ("CUDA error: out of memory", "ValueError: no")),
        (["terror", "mirrors"], ()),
    ],
)
def test_the_last_error_of_a_log(lines, found):
    assert last_error(lines) == found


def test_a_long_traceback_keeps_its_end():
    long = [TRACEBACK[0], *(f"  line {number}" for number in range(100)), "ValueError: no"]
    found = last_error(long)
    assert len(found) == MAX_ERRORS
    assert found[0] == TRACEBACK[0]
    assert found[-1] == "ValueError: no"
