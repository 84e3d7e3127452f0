"""The file of learned durations: whole or not there, and never a danger."""

from __future__ import annotations

import json
import os
import threading
from types import SimpleNamespace

import pytest

from zerokit import settings
from zerokit.calls import Linear, Usage
from zerokit.calls.calibration import FILE_VERSION, LONGEST_S, Calibration, Timing, shared
from zerokit.calls.chat_duration import ChatDuration
from zerokit.requests import ChatReply

PRIOR = {"call": 2.0, "steps": 0.5}


def kind_of(calibration):
    return calibration.kind("draw", PRIOR, 3.0)


def taught(path, seconds=9.0):
    calibration = Calibration(path)
    kind = kind_of(calibration)
    for _ in range(5):
        kind.timing.observe({"call": 1, "steps": 10}, seconds)
    kind.cold.observe(10.0, 5.0, True, 4.0)
    kind.lengths.observe("a prompt", 77)
    kind.timing.overran({"call": 1, "steps": 10}, 20.0)
    kind.cold.overran(30.0)
    calibration.save()
    return calibration


def written(path, kinds, version=FILE_VERSION):
    path.write_text(json.dumps({"version": version, "kinds": kinds}))
    return Calibration(path)


def test_what_was_learned_is_there_after_a_restart(tmp_path):
    path = tmp_path / "deep" / "durations.json"
    before, after = kind_of(taught(path)), kind_of(Calibration(path))
    features = {"call": 1, "steps": 12}
    assert after.timing.forecast(features) == pytest.approx(before.timing.forecast(features))
    assert (after.cold.seconds, after.cold.least_s, after.lengths.seen) == ([4.0], 60.0, [77])
    assert after.timing.forecast({"call": 1, "steps": 10}) == pytest.approx(40)
    assert after.cold.forecast(0.0) == 60
    assert os.listdir(path.parent) == ["durations.json"]


def test_kinds_that_were_not_used_are_kept(tmp_path):
    path = tmp_path / "durations.json"
    taught(path)
    other = Calibration(path)
    other.kind("other", {"call": 1.0}, 1.0).timing.observe({"call": 1}, 2)
    other.save()
    assert set(json.loads(path.read_text())["kinds"]) == {"draw", "other"}


def test_no_word_of_a_prompt_is_in_the_file(tmp_path):
    path = tmp_path / "durations.json"
    estimator = ChatDuration(10**9, 10**9, name="chat/tiny", calibration=Calibration(path))
    work = SimpleNamespace(
        prompt_tokens=9, max_new_tokens=64, question="my xylophone password", active_adapters=0, to_load=0
    )
    reply = ChatReply("the zeppelin answer", prompt_tokens=9, new_tokens=5)
    estimator.observe((work,), {}, Usage(used_s=1, ran=True), reply, True)
    text = path.read_text()
    for word in ("xylophone", "password", "zeppelin", "answer"):
        assert word not in text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "42",
        '{"version": 1}',
        '{"version": 1, "kinds": []}',
        "[" * 100_000,
        b"\xff\xfe\x00",
        b"\x00" * 100,
    ],
    ids=["empty", "cut", "list", "null", "number", "no kinds", "kinds list", "nested", "bytes", "zeros"],
)
def test_a_broken_file_is_left_out(tmp_path, text):
    path = tmp_path / "durations.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    calibration = Calibration(path)
    assert kind_of(calibration).timing.calls == []
    calibration.save()
    assert json.loads(path.read_text())["version"] == FILE_VERSION


def test_a_file_of_another_version_is_left_out(tmp_path):
    path = tmp_path / "durations.json"
    taught(path)
    facts = json.loads(path.read_text())["kinds"]
    assert kind_of(written(path, facts)).timing.calls
    assert kind_of(written(path, facts, version=FILE_VERSION + 1)).timing.calls == []


HOSTILE = [None, True, "9", -1, float("nan"), float("inf"), 1e308, 10**400, [], {}, [[[]]], [9] * 4]


@pytest.mark.parametrize("bad", HOSTILE, ids=[str(n) for n in range(len(HOSTILE))])
def test_hostile_values_are_left_out(tmp_path, bad):
    facts = {
        "features": ["call", "steps"],
        "calls": [[1, 10, bad], [bad, 10, 5], bad, [1, 10, 5]],
        "cold_s": [bad, 2.5],
        "lengths": [bad, 30],
        "least": [0.0, bad],
        "least_cold_s": bad,
    }
    kind = kind_of(written(tmp_path / "d.json", {"draw": facts}))
    assert kind.cold.least_s == (1e9 if bad == 1e9 else 0)
    assert not kind.timing.least.any()
    assert kind.timing.calls == [((1.0, 10.0), 5.0)]
    assert (kind.cold.seconds, kind.lengths.seen) == ([2.5], [30])
    assert 5 <= kind.timing.forecast({"call": 1, "steps": 10}) < 20
    for wrong in ({"draw": bad}, {"draw": {**facts, "calls": bad, "cold_s": bad, "lengths": bad}}):
        kind = kind_of(written(tmp_path / "d.json", wrong))
        assert 7 <= kind.timing.forecast({"call": 1, "steps": 10}) < 30


@pytest.mark.parametrize("least", [[1e9, 1e9], [0, 0], [1], [1, 1, 1], "11", {"0": 1}])
def test_a_hostile_least_refuses_nobody(tmp_path, least):
    facts = {"features": ["call", "steps"], "calls": [[1, 10, 5]], "least": least, "least_cold_s": 1e9}
    kind = kind_of(written(tmp_path / "d.json", {"draw": facts}))
    assert kind.timing.forecast({"call": 1, "steps": 10}) <= LONGEST_S
    assert kind.timing.forecast({"call": 1, "steps": 10}, cautious=False) < 20
    assert kind.cold.forecast(0.0, cautious=False) == 3


def test_huge_values_and_empty_calls_stay_within_a_day(tmp_path):
    facts = {"features": ["call", "steps"], "calls": [[1e9, 1e9, 1e9], [0, 0, 1e9], [1, 1, 1e-9]]}
    kind = kind_of(written(tmp_path / "d.json", {"draw": facts}))
    assert ((0.0, 0.0), 1e9) not in kind.timing.calls
    assert 0 <= kind.timing.forecast({"call": 1, "steps": 1e300}) <= LONGEST_S


def test_a_file_for_other_features_is_left_out(tmp_path):
    facts = {"features": ["call", "pixels"], "calls": [[1, 10, 5]]}
    assert kind_of(written(tmp_path / "d.json", {"draw": facts})).timing.calls == []


def test_two_functions_of_one_name_do_not_share_what_they_learn():
    calibration = Calibration(None)
    steps = calibration.kind("f", {"call": 1.0, "steps": 1.0}, 1.0)
    pixels = calibration.kind("f", {"call": 1.0, "pixels": 2.0}, 1.0)
    assert steps is not pixels
    assert pixels.timing.forecast({"call": 1, "pixels": 10}) > 20


@pytest.mark.parametrize("where", ["a file in the way", "a folder in the way"])
def test_where_nothing_can_be_written_it_goes_on_in_memory(tmp_path, where, caplog):
    if where == "a file in the way":
        (tmp_path / "home").write_text("")
        path = tmp_path / "home" / "durations.json"
    else:
        path = tmp_path / "durations.json"
        (path / "inside").mkdir(parents=True)
    calibration = Calibration(path)
    caplog.clear()
    for _ in range(3):
        kind_of(calibration).timing.observe({"call": 1, "steps": 10}, 50)
        calibration.save()
    assert kind_of(calibration).timing.forecast({"call": 1, "steps": 10}) >= 50
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert [name for _, _, names in os.walk(tmp_path) for name in names if name != "home"] == []


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "durations.json"
    calibration = taught(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    kind_of(calibration).timing.observe({"call": 1, "steps": 10}, 50)
    calibration.save()
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["durations.json"]


def test_after_a_full_disk_what_was_learned_is_kept_again(tmp_path, monkeypatch, caplog):
    path = tmp_path / "durations.json"
    calibration = taught(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as now:
        now.setattr(os, "replace", full)
        for _ in range(2):
            calibration.save()
    kind_of(calibration).timing.observe({"call": 1, "steps": 10}, 50)
    calibration.save()
    assert path.read_bytes() != before
    assert kind_of(Calibration(path)).timing.forecast({"call": 1, "steps": 10}) >= 50
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "durations.json"
    calibration, done, read = taught(path), threading.Event(), []

    def reads():
        while not done.is_set():
            read.append(json.loads(path.read_text())["version"])

    reader = threading.Thread(target=reads)
    reader.start()
    writers = [threading.Thread(target=lambda: [calibration.save() for _ in range(30)]) for _ in range(2)]
    others = [threading.Thread(target=lambda: [taught(path) for _ in range(10)]) for _ in range(2)]
    for thread in writers + others:
        thread.start()
    for thread in writers + others:
        thread.join()
    done.set()
    reader.join()
    assert set(read) == {FILE_VERSION}
    assert os.listdir(tmp_path) == ["durations.json"]


def test_many_threads_learn_at_once():
    estimator = Linear(1, {"steps": 1}, calibration=Calibration(None)).bind(lambda steps: None)

    def learn():
        for steps in range(1, 30):
            estimator.observe((steps,), {}, Usage(used_s=steps, ran=True), None, True)
            assert estimator.estimate((steps,), {}, size=None, factor=1.5).declared_s >= 1

    threads = [threading.Thread(target=learn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(estimator.kind.timing.calls) == 64


def test_calls_that_say_nothing_teach_nothing():
    timing = Timing(PRIOR)
    for features, took in [({}, 5), ({"call": 1}, float("nan")), ({"call": 1}, -1), ({"call": 1}, float("inf"))]:
        timing.observe(features, took)
        timing.overran(features, took)
    assert timing.calls == []
    assert not timing.least.any()


def test_a_prior_of_nothing_learns_all_the_same():
    timing = Timing({"call": 0.0, "steps": 0.0})
    assert timing.forecast({"call": 1, "steps": 5}) == 0
    timing.overran({"call": 1, "steps": 5}, 9)
    assert timing.forecast({"call": 1, "steps": 5}) == pytest.approx(18)
    for steps in (5, 10, 20):
        timing.observe({"call": 1, "steps": steps}, steps)
    assert 20 <= timing.forecast({"call": 1, "steps": 20}) < 60


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf")])
def test_priors_are_seconds(wrong):
    with pytest.raises(ValueError, match="Seconds are from 0 up"):
        Timing({"call": wrong})


def test_it_is_kept_where_the_environment_says(tmp_path, monkeypatch):
    assert settings.calibration_path() is None  # off in all tests
    assert shared() is shared()
    monkeypatch.setenv("ZEROKIT_HOME", str(tmp_path))
    assert settings.calibration_path() == tmp_path / "durations.json"
    monkeypatch.delenv("ZEROKIT_HOME")
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert settings.calibration_path().name == "durations.json"


def test_a_call_that_ran_out_of_time_tells_nothing_of_what_it_did_not_ask_for():
    timing = Timing({"call": 0.1, "first call": 1.5})
    timing.overran({"call": 1, "first call": 0}, 3.0)
    assert timing.forecast({"call": 1, "first call": 0}) == 6.0
    assert timing.forecast({"call": 1, "first call": 1}) == 6.0
    timing.overran({"call": 1, "first call": 1}, 4.0)
    assert timing.forecast({"call": 1, "first call": 1}) < 14.0
