"""What goes wrong in a deployment, and what is said of it: title, what happened, what to do."""

from __future__ import annotations

import socket
import types

import pytest
from deploy_hub import serve

from zerokit.deploy import errors, wait


def assert_said(result, kind, *parts):
    """The command failed with that error, and said these parts."""
    code, out, err = result
    assert code == 1
    said = " ".join(err.split())
    assert said.startswith(kind.title), said
    assert " ".join(kind.advice.split()) in said
    for part in parts:
        assert part in said, said
    assert not [line for line in (out + err).splitlines() if line.startswith("Traceback")]


@pytest.fixture
def no_token(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))


def test_no_token(hub, deploy, no_token):
    assert_said(deploy(), errors.NotSignedIn, "There is no token, neither in HF_TOKEN nor saved by a login.")
    assert hub.asked == []


def test_a_token_that_the_hub_does_not_know(hub, deploy, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "a1B2" * 9)
    result = deploy()
    assert_said(result, errors.NotSignedIn, "does not take this token")
    assert "a1B2" not in result[2]


def test_a_token_that_may_only_read(hub, me, deploy):
    me.role = "read"
    assert_said(deploy(), errors.NotAllowed, 'The token "token of me" of me may only read.')
    assert hub.writes() == []


def test_a_fine_grained_token_for_something_else(hub, me, deploy):
    me.role = "fineGrained"
    me.scopes = [{"entity": {"type": "model", "name": "me/model"}, "permissions": ["repo.write"]}]
    assert_said(deploy(), errors.NotAllowed, "The token of me may not make a Space under me.")


def test_a_name_of_others(hub, me, deploy):
    assert_said(deploy(space="you/app"), errors.NotAllowed, "There is no Space you/app", "it may write under me")


def test_a_misspelt_name_gets_the_nearest(hub, me, deploy):
    me.orgs["robotics"] = {"plan": "team", "role": "write"}
    assert_said(deploy(space="robotic/app"), errors.NotAllowed, "Did you mean robotics/app?")


def test_an_organisation_where_one_may_only_read(hub, me, deploy):
    me.orgs["crew"] = {"plan": "team", "role": "read"}
    assert_said(deploy(space="crew/app"), errors.NotAllowed, "may not make a Space under crew")


def test_a_public_space_of_others(hub, me, deploy):
    hub.space("you/app")
    assert_said(deploy(space="you/app"), errors.NotAllowed, "You don't have the rights")
    assert hub.writes() == []


def test_a_private_space_of_others_looks_like_none(hub, me, deploy):
    hub.space("you/app", private=True)
    assert_said(deploy(space="you/app"), errors.NotAllowed, "There is no Space you/app")


def test_a_space_that_was_renamed(hub, me, deploy):
    hub.space("me/new")
    hub.renamed["me/app"] = "me/new"
    assert_said(deploy(), errors.SpaceTaken, "me/app is called me/new now.")


def test_a_space_of_another_kind(hub, me, deploy):
    hub.space("me/app", sdk="docker", requested="zero-a10g")
    assert_said(deploy(), errors.SpaceTaken, "a Space of another kind (docker)", "With --force")
    assert hub.writes() == []
    assert deploy("--force")[0] == 0


def test_a_name_that_is_taken_in_the_moment(hub, me, deploy):
    hub.fault("POST", "/api/repos/create", 409, {"error": "You already created this space repo"})
    assert_said(deploy(), errors.SpaceTaken, "already has something under me/app", "Nothing was changed before that.")


def test_more_zero_gpu_spaces_than_the_plan_hosts(hub, me, deploy):
    hub.space("me/one", requested="zero-a10g")
    hub.space("me/two", private=True, requested="zero-a10g")
    hub.space("me/cpu", requested="cpu-basic")
    assert_said(deploy(), errors.PlanTooSmall, "has 2 ZeroGPU Spaces already, and its plan hosts 2: me/one, me/two")
    assert hub.writes() == []


def test_force_leaves_the_count_to_the_hub(hub, me, deploy):
    hub.space("me/one", requested="zero-a10g")
    hub.space("me/two", requested="zero-a10g")
    assert_said(deploy("--force"), errors.PlanTooSmall, "ZeroGPU Spaces are limited to 2")


def test_a_space_that_is_on_zero_gpu_needs_no_more_room(hub, me, deploy):
    hub.space("me/app", requested="zero-a10g")
    hub.space("me/two", requested="zero-a10g")
    assert deploy()[0] == 0


def test_an_organisation_without_a_plan(hub, me, deploy):
    me.orgs["crew"] = {"plan": None, "role": "write"}
    assert_said(deploy(space="crew/app"), errors.PlanTooSmall, "hosts no ZeroGPU Spaces")


def test_a_plan_that_is_not_told_is_left_to_the_hub(hub, me, deploy):
    me.orgs["crew"] = {"role": "write"}
    result = deploy(space="crew/app")
    assert_said(result, errors.PlanTooSmall, "limited to 0")
    assert "does not tell the plan of crew" in result[1]


def test_the_free_cpu_needs_a_subscription(hub, me, deploy):
    assert_said(deploy("--hardware", "cpu-basic"), errors.PlanTooSmall, "need a PRO subscription")


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (400, {"error": "This is wrong"}, errors.HubRefused, "status 400 while uploading the files"),
        (401, {"error": "Invalid credentials"}, errors.NotSignedIn, "does not take this token"),
        (403, {"error": "No rights"}, errors.NotAllowed, "does not allow it while uploading the files"),
        (403, {"error": "Repository storage limit reached (Max: 1 GB)"}, errors.HubRefused, "limit reached"),
        (404, {"error": "Gone"}, errors.SpaceNotFound, "knows no Space me/app"),
        (409, {"error": "Busy"}, errors.SpaceTaken, 'It says: "Busy"'),
        (412, {"error": "A commit has happened since"}, errors.SpaceChanged, "Somebody else committed"),
        (413, {"error": "Too large"}, errors.HubRefused, "status 413"),
        (500, {"error": "Oops"}, errors.HubUnavailable, "status 500"),
        (503, None, errors.HubUnavailable, "status 503"),
    ],
)
def test_a_commit_that_the_hub_refuses(hub, me, deploy, status, body, kind, said):
    hub.fault("POST", "/commit/", status, body)
    assert_said(deploy(), kind, said, "Done before that: made the Space.")
    assert len(hub.spaces["me/app"].commits) == 1


def test_too_many_requests(hub, me, deploy):
    hub.fault("POST", "/commit/", 429, {"error": "Slow down"}, retry_after="90")
    assert_said(deploy(), errors.HubBusy, "no more requests for now, for 90 s", "Done before that: made the Space.")


def test_too_many_requests_as_the_hub_counts_them(hub, me, deploy):
    hub.fault("GET", "/api/whoami-v2", 429, {"error": "Slow down"}, ratelimit='"api";r=0;t=55')
    assert_said(deploy(), errors.HubBusy, "no more requests for now, for 55 s")


def test_the_client_waits_as_long_as_the_hub_says(hub, me, deploy, retries):
    hub.fault("POST", "/preupload/", 429, {"error": "Slow down"}, times=1, retry_after="7")
    assert deploy()[0] == 0
    assert retries == [8.0]


def test_an_upload_that_fails_again_and_again(hub, me, deploy, retries):
    hub.fault("POST", "/preupload/", 502)
    assert_said(deploy(), errors.HubUnavailable, "status 502 while uploading", "Done before that: made the Space.")
    assert len(retries) == 5


@pytest.mark.parametrize("xet", [True, False], ids=["xet", "git-lfs"])
def test_large_files_that_the_storage_does_not_take(hub, me, deploy, folder, monkeypatch, retries, xet):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", not xet)
    (folder / "model.bin").write_bytes(b"\0" * 5000)
    hub.fault("GET", "/xet-write-token/", 403, {"error": "No storage left"})
    hub.fault("PUT", "/-/large/", 403, {"error": "No storage left"})
    kind = errors.HubRefused if xet else errors.NotAllowed
    assert_said(deploy(), kind, "while uploading the files", "Done before that: made the Space.")
    assert len(hub.spaces["me/app"].commits) == 1


def test_a_gated_space(hub, me, deploy):
    hub.fault("GET", "/api/spaces/me/app$", 403, {"error": "gated"}, X_Error_Code="GatedRepo")
    assert_said(deploy(), errors.SpaceGated, "me/app lets people in one by one")


def test_somebody_else_commits_meanwhile(hub, me, deploy, monkeypatch):
    from zerokit.deploy.upload import Deployment

    space = hub.space("me/app", requested="zero-a10g")
    run = Deployment.run

    def commit_first(self):
        space.commit("by somebody else", {})
        run(self)

    monkeypatch.setattr(Deployment, "run", commit_first)
    assert_said(deploy(), errors.SpaceChanged, "Somebody else committed to me/app")


def test_no_network(hub, me, deploy, monkeypatch):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        assert_said(deploy(), errors.HubUnreachable, "did not answer while asking whose token this is (ConnectError: ")


def test_the_client_is_offline(hub, me, deploy, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: True)
    assert_said(deploy(), errors.HubUnreachable, "OfflineModeIsEnabled")


@pytest.mark.parametrize(
    "body",
    [
        ["a list"],
        {"name": None, "orgs": "all"},
        {"auth": []},
        {"orgs": [1, {"name": 2}]},
        {"name": "me", "orgs": 5},
        {"name": "me", "orgs": [{"name": "crew", "plan": ["team"]}]},
        {"name": "me", "auth": "token"},
        {"name": "me", "auth": {"accessToken": "token"}},
        {"name": "me", "auth": {"accessToken": {"role": "fineGrained", "fineGrained": []}}},
        {"name": "me", "auth": {"accessToken": {"role": "fineGrained", "fineGrained": {"scoped": [{}]}}}},
    ],
)
def test_an_answer_that_is_not_the_hubs(hub, me, deploy, body):
    hub.fault("GET", "/api/whoami-v2", 200, body)
    code, _, err = deploy()
    assert code == 1
    assert "Traceback" not in err
    assert hub.writes() == []


@pytest.mark.parametrize(
    ("stage", "kind", "said"),
    [
        ("BUILD_ERROR", errors.BuildFailed, "could not be built"),
        ("RUNTIME_ERROR", errors.AppFailed, "its app ended"),
        ("CONFIG_ERROR", errors.ConfigFailed, "cannot use the card"),
        ("NO_APP_FILE", errors.AppMissing, "finds no app file"),
        ("PAUSED", errors.SpacePaused, "me/app is paused"),
        ("STOPPED", errors.SpacePaused, "me/app is stopped"),
        ("DELETING", errors.SpaceFailed, "in stage DELETING"),
        ("SOMETHING_NEW", errors.SpaceFailed, "in stage SOMETHING_NEW"),
    ],
)
def test_a_space_that_does_not_run(hub, me, deploy, stage, kind, said):
    space = hub.space("me/app", requested="zero-a10g", error_message="Memory limit exceeded (16Gi)")
    space.next_build = ("BUILDING", stage)
    space.build_log = [f"step {number}" for number in range(40)] + ["ERROR: no matching distribution for nosuch"]
    space.run_log = ["Traceback (most recent call last):", "ModuleNotFoundError: No module named 'nosuch'"]
    result = deploy()
    assert_said(result, kind, said, 'The Hub says: "Memory limit exceeded (16Gi)"')
    assert ("no matching distribution" in result[2]) is (stage == "BUILD_ERROR")
    assert ("ModuleNotFoundError" in result[2]) is (stage == "RUNTIME_ERROR")
    assert "step 20" not in result[2]


def test_a_space_that_sleeps_is_fine(hub, me, run, folder):
    hub.space("me/app", requested="zero-a10g", next_build=("BUILDING", "SLEEPING"))
    code, out, _ = run("deploy", folder, "--space", "me/app")
    assert code == 0
    assert "It sleeps, and wakes when it is visited: not called." in out


def test_a_build_that_takes_too_long(hub, me, deploy, monkeypatch):
    hub.space("me/app", requested="zero-a10g", next_build=("BUILDING",))
    clock = iter(range(0, 100_000, 400))
    monkeypatch.setattr(wait, "time", types.SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda _: None))
    assert_said(deploy("--timeout", "600"), errors.StillBuilding, "still in stage BUILDING after 10 min")


def test_a_hub_that_is_away_while_it_is_waited_for(hub, me, deploy):
    hub.fault("GET", "/runtime$", 500)
    assert_said(deploy(), errors.HubUnavailable, "status 500 while waiting for it to run", "uploaded the files")


def test_a_card_that_the_hub_refuses(hub, me, deploy, folder):
    card = folder / "README.md"
    card.write_text(card.read_text().replace("sdk: gradio", "sdk: nosuch"))
    assert_said(deploy("--force"), errors.HubRefused, "Invalid metadata in README.md", "made the Space")


def test_the_doctors_errors_stop_it_before_the_hub_is_asked(hub, me, deploy, folder):
    card = folder / "README.md"
    card.write_text(card.read_text().replace("sdk: gradio", "sdk: docker"))
    result = deploy()
    assert_said(result, errors.DoctorObjects, "would break the Space", f"zerokit doctor {folder}")
    assert "doctor: error" in result[1]
    assert hub.asked == []
    assert_said(deploy("--dry-run"), errors.DoctorObjects)


def test_a_secret_in_a_file_stops_it(hub, me, deploy, folder):
    token = "hf_" + "a1B2c3" * 6
    with (folder / "app.py").open("a") as app:
        app.write(f'\nTOKEN = "{token}"\n')
    result = deploy("--force")
    assert_said(result, errors.SecretFound, "app.py, line", "a token of the Hub")
    assert token not in result[1] + result[2]
    assert hub.asked == []


def test_ones_own_token_in_a_file_stops_it(hub, me, deploy, folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "api-key-of-another-form")
    (folder / "notes.txt").write_text("mine: api-key-of-another-form")
    assert_said(deploy(), errors.SecretFound, "notes.txt, line 1: a secret that is set in the Space, or your own token")


def test_a_folder_that_is_not_there(hub, me, run, tmp_path):
    assert_said(run("deploy", tmp_path / "no", "--space", "me/app"), errors.FolderError, "is not there")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--space", "app"], 'A Space is named "owner/name", not "app".'),
        (["--space", ""], 'A Space is named "owner/name", not "".'),
        (["--space", "a/b/c"], 'not "a/b/c"'),
        (["--space", "https://huggingface.co/spaces/me/app"], "--space me/app"),
        (["--space", "spaces/me/app"], "--space me/app"),
        (["--space", "me/my app"], "cannot be a Space's name"),
        (["--space", "me/../etc"], "not"),
        (["--space", "me/app--x"], "cannot be a Space's name"),
        (["--space", "me/" + "x" * 200], "cannot be a Space's name"),
        (["--space", "me/приложение"], "cannot be a Space's name"),
        (["--space", "me/app", "--hardware", "zero-a10"], "Did you mean 'zero-a10g'?"),
        (["--space", "me/app", "--hardware", "<b>"], "There is no hardware '<b>'"),
        (["--space", "me/app", "--sleep-time", "300"], "zero-a10g sleeps by the Hub's own rule"),
        (["--space", "me/app", "--hardware", "t4-small", "--sleep-time", "0"], "from 1 up, or -1 for never, not 0"),
        (["--space", "me/app", "--secrets", "/no/such/file"], "--secrets: /no/such/file cannot be read"),
    ],
)
def test_options_that_cannot_be(hub, me, run, folder, args, said):
    code, _, err = run("deploy", folder, *args)
    assert code == 1
    assert said in " ".join(err.split())
    assert "Traceback" not in err
    assert hub.asked == []


def test_a_token_with_characters_that_none_has(hub, deploy, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "мой токен")
    assert_said(deploy(), errors.NotSignedIn, "has characters that no token has")
    assert hub.asked == []


def test_a_secret_that_the_app_or_the_hub_repeats_is_hidden(hub, me, deploy, tmp_path):
    (tmp_path / "s").write_text("A_KEY=hush-hush-1")
    space = hub.space("me/app", requested="zero-a10g", next_build=("BUILDING", "RUNTIME_ERROR"))
    space.build_log = ["building with hush-hush-1"]
    space.run_log = ["ValueError: the key hush-hush-1 is not one"]
    result = deploy("--secrets", tmp_path / "s")
    assert_said(result, errors.AppFailed, "the key *** is not one")
    assert "building with ***" in result[1]
    hub.fault("POST", "/secrets$", 400, {"error": "hush-hush-1 is too weak"})
    result = deploy("--secrets", tmp_path / "s")
    assert_said(result, errors.HubRefused, "*** is too weak", "while setting the secret A_KEY")
    assert "hush" not in result[1] + result[2]


def test_a_card_that_is_no_text(hub, me, deploy, folder):
    (folder / "README.md").write_bytes(b"---\nsdk: gradio\n---\n\xff\xfe")
    code, _, err = deploy("--force")
    assert code == 1
    assert "README.md" in err
    assert "Traceback" not in err
    assert all(not space.files.get("app.py") for space in hub.spaces.values())


def test_a_folder_that_changes_meanwhile(hub, me, deploy, folder, monkeypatch):
    from zerokit.deploy.upload import Deployment

    run = Deployment.run

    def remove_first(self):
        (folder / "app.py").unlink()
        run(self)

    monkeypatch.setattr(Deployment, "run", remove_first)
    assert_said(deploy(), errors.FolderError, "Was the folder changed just now?", "Done before that: made the Space.")


def test_the_token_does_not_follow_to_another_host(hub, me, deploy):
    with serve() as other:
        hub.fault("GET", "/api/whoami-v2", 307, location=f"{other.url}/api/whoami-v2")
        assert_said(deploy(), errors.NotSignedIn, "does not take this token")
        assert other.asked == [("GET", "/api/whoami-v2")]
        assert other.tokens == {""}


ODD = [[], {}, "text", 1, [1, [2]], {"stage": 7, "id": 3, "files": [], "token": []}, {"a": {"value": 1}}]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/whoami-v2"),
        ("GET", "/api/spaces/me/app$"),
        ("GET", "/runtime$"),
        ("GET", "/tree/main$"),
        ("GET", "/variables$"),
        ("GET", "/secrets$"),
        ("GET", "/api/spaces$"),
        ("POST", "/preupload/"),
        ("POST", "/commit/"),
        ("POST", "/validate-yaml"),
        ("GET", "/logs/build$"),
    ],
)
def test_answers_of_any_shape_end_in_words(hub, me, deploy, monkeypatch, method, path):
    monkeypatch.setattr(wait, "SETTLE_S", 0.0)
    for body in ODD:
        hub.spaces.clear()
        hub.space("me/app", requested="cpu-basic", next_build=("RUNNING",))
        hub.faults.clear()
        hub.fault(method, path, 200, body)
        code, _, err = deploy()
        assert code in (0, 1)
        assert bool(err) is (code == 1)
