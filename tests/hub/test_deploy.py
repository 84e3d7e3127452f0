"""`zerokit deploy` against a Hub on this machine, through the real client: what it does, and does once."""

from __future__ import annotations

import os
import re

import pytest
from deploy_hub import Stored

from zerokit.deploy import upload, wait

CREATE = "POST /api/repos/create"
COMMIT = "POST /api/spaces/me/app/commit/main"


def test_a_new_space_is_made_filled_and_waited_for(hub, me, deploy, folder):
    code, out, err = deploy()
    assert (code, err) == (0, "")
    assert hub.writes() == [CREATE, COMMIT]
    space = hub.spaces["me/app"]
    assert space.requested == "zero-a10g"
    assert not space.private
    assert space.sdk == "gradio"
    assert {"README.md", "app.py", "requirements.txt"} <= set(space.files)
    assert space.files["app.py"].content == (folder / "app.py").read_bytes()
    assert re.findall(r"\| (.*)", out) == ["[building]", *space.build_log, "[app starting]"]
    assert "me (Free account) hosts 0 of 2 ZeroGPU Spaces." in out
    assert out.rstrip().endswith(f"{hub.url}/spaces/me/app")


def test_a_second_run_changes_nothing(hub, me, deploy):
    deploy()
    commits = len(hub.spaces["me/app"].commits)
    hub.asked.clear()
    code, out, _ = deploy()
    assert code == 0
    assert hub.writes() == []
    assert len(hub.spaces["me/app"].commits) == commits
    assert "3 files are the same already" in out


def test_only_what_changed_is_uploaded(hub, me, deploy, folder):
    deploy()
    (folder / "app.py").write_text((folder / "app.py").read_text() + "\n# more\n")
    (folder / "more").mkdir()
    (folder / "more" / "notes.txt").write_text("new")
    _, out, _ = deploy()
    assert hub.spaces["me/app"].commits[-1]["files"] == ["app.py", "more/notes.txt"]
    assert "~ app.py" in out
    assert "+ more/notes.txt (3 bytes)" in out


def test_what_is_only_on_the_hub_stays(hub, me, deploy):
    hub.space("me/app", requested="zero-a10g").files["old.txt"] = Stored.regular(b"old")
    code, out, _ = deploy()
    assert code == 0
    assert "Not in the folder, and not deleted: old.txt" in out
    assert "old.txt" in hub.spaces["me/app"].files


@pytest.mark.parametrize("args", [[], ["--private"]])
@pytest.mark.parametrize("was_private", [True, False])
def test_who_sees_a_space_is_not_changed(hub, me, deploy, args, was_private):
    hub.space("me/app", private=was_private, requested="zero-a10g")
    code, out, _ = deploy(*args)
    assert code == 0
    assert hub.spaces["me/app"].private is was_private
    assert hub.writes() == [COMMIT]
    assert f"{'private' if was_private else 'public'}, and stays so" in out


def test_a_new_space_can_be_private(hub, me, deploy):
    assert deploy("--private")[0] == 0
    assert hub.spaces["me/app"].private


@pytest.mark.parametrize("is_there", [True, False])
def test_secrets_and_variables_are_set_and_never_shown(hub, me, deploy, tmp_path, is_there):
    secrets, variables = tmp_path / "s", tmp_path / "v"
    secrets.write_text("A_KEY='hush-hush-1'\nexport OTHER=hush-hush-2 # note\n")
    variables.write_text("MODEL=me/model\nLEVEL=3\n")
    if is_there:
        hub.space("me/app", requested="zero-a10g", secrets={"A_KEY": "old"}, variables={"LEVEL": "3", "MODEL": "old"})
    code, out, err = deploy("--secrets", secrets, "--variables", variables)
    assert (code, err) == (0, "")
    assert hub.spaces["me/app"].secrets == {"A_KEY": "hush-hush-1", "OTHER": "hush-hush-2"}
    assert hub.spaces["me/app"].variables == {"MODEL": "me/model", "LEVEL": "3"}
    assert "hush" not in out
    assert "me/model" not in out
    assert f"Set the secret A_KEY{' again' if is_there else ''}\nSet the secret OTHER\n" in out
    sets = [line for line in hub.writes() if line.endswith("variables")]
    assert len(sets) == (1 if is_there else 2)


def test_secrets_in_the_folder_are_not_uploaded(hub, me, deploy, folder):
    (folder / "hush.txt").write_text("A_KEY=hush-hush-1")
    (folder / ".env").write_text("B=1")
    code, out, _ = deploy("--secrets", folder / "hush.txt")
    assert code == 0
    assert not {"hush.txt", ".env"} & set(hub.spaces["me/app"].files)
    assert "left out: hush.txt (its values are set in the Space)" in out


def test_a_name_cannot_change_its_kind(hub, me, deploy, tmp_path):
    hub.space("me/app", requested="zero-a10g", variables={"A": "1"})
    (tmp_path / "s").write_text("A=long-enough")
    code, _, err = deploy("--secrets", tmp_path / "s")
    assert code == 1
    assert "A is a variable of me/app, not a secret" in err
    assert hub.writes() == []


@pytest.mark.parametrize("xet", [True, False], ids=["xet", "git-lfs"])
def test_large_files_go_through_large_file_storage(hub, me, deploy, folder, monkeypatch, xet):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", not xet)
    (folder / "picture.png").write_bytes(b"\x89PNG\0" + os.urandom(3000))
    assert deploy()[0] == 0
    stored = hub.spaces["me/app"].files["picture.png"]
    assert stored.size == 3005
    assert hub.large == {stored.sha256: 3005}
    assert any("/xet/" in path for _, path in hub.asked) is xet
    hub.asked.clear()
    assert deploy()[0] == 0
    assert hub.writes() == []


def test_hardware_is_asked_for_after_the_upload(hub, me, deploy):
    hub.space("me/app", hardware="cpu-basic", requested="cpu-basic")
    code, out, _ = deploy("--hardware", "t4-small", "--sleep-time", "300")
    assert code == 0
    assert hub.writes() == [COMMIT, "POST /api/spaces/me/app/hardware"]
    space = hub.spaces["me/app"]
    assert (space.requested, space.sleep_time) == ("t4-small", 300)
    assert "Move it from cpu-basic to t4-small, to sleep after 5 min without a visit" in out


def test_only_the_sleep_time_is_changed_where_only_it_differs(hub, me, deploy):
    hub.space("me/app", hardware="t4-small", requested="t4-small")
    assert deploy("--hardware", "t4-small", "--sleep-time", "-1")[0] == 0
    assert hub.writes() == [COMMIT, "POST /api/spaces/me/app/sleeptime"]
    assert hub.spaces["me/app"].sleep_time == -1
    hub.asked.clear()
    assert deploy("--hardware", "t4-small", "--sleep-time", "-1")[0] == 0
    assert hub.writes() == []


def test_paid_hardware_that_never_sleeps_is_said_to_be_billed(hub, me, deploy):
    _, out, _ = deploy("--hardware", "t4-small", "--dry-run")
    assert "Make the Space me/app on t4-small, which is billed by the minute and never sleeps by itself" in out


def test_a_dry_run_tells_the_same_steps_and_does_nothing(hub, me, deploy, tmp_path):
    (tmp_path / "s").write_text("A_KEY=hush-hush-1")
    hub.space("me/app", requested="cpu-basic", hardware="cpu-basic")
    code, dry, _ = deploy("--secrets", tmp_path / "s", "--dry-run")
    assert code == 0
    assert hub.writes() == []
    assert {method for method, _ in hub.asked} == {"GET"}
    steps = re.findall(r"^ +\d\. (.*)$", dry, re.MULTILINE)
    assert [step.partition(" ")[0] for step in steps] == ["Set", "Upload", "Move", "Wait"]
    _, out, _ = deploy("--secrets", tmp_path / "s")
    assert [line for line in out.splitlines() if line in steps] == steps


@pytest.mark.parametrize("token", [None, "hf_unknownunknownunknown"])
def test_a_dry_run_needs_no_token(hub, run, folder, monkeypatch, tmp_path, token):
    monkeypatch.setenv("HF_TOKEN", token or "")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    code, out, _ = run("deploy", folder, "--space", "me/app", "--dry-run")
    assert code == 0
    assert "The Hub was not asked" in out or "does not take this token" in out
    assert "1. Make the Space me/app on zero-a10g" in out
    assert hub.writes() == []


def test_an_interrupted_run_goes_on(hub, me, deploy, tmp_path):
    """The Space is made and a variable set, then the Hub fails; the next run does the rest and nothing twice."""
    (tmp_path / "v").write_text("A=1\nB=2")
    hub.fault("POST", "/variables$", 400, {"error": "no more"}, times=1)
    code, _, err = deploy("--variables", tmp_path / "v")
    assert code == 1
    assert "Done before that: made the Space." in err
    hub.asked.clear()
    code, _, err = deploy("--variables", tmp_path / "v")
    assert (code, err) == (0, "")
    assert CREATE not in hub.writes()
    assert hub.spaces["me/app"].variables == {"A": "1", "B": "2"}
    assert len(hub.spaces["me/app"].commits) == 2


def test_a_commit_whose_answer_was_lost_is_not_made_again(hub, me, deploy, monkeypatch):
    from huggingface_hub import HfApi

    commit = HfApi.create_commit

    def lose(self, *args, **kwargs):
        commit(self, *args, **kwargs)
        raise ConnectionError("gone")

    monkeypatch.setattr(HfApi, "create_commit", lose)
    code, _, err = deploy()
    assert code == 1
    assert "The Hub cannot be reached" in err
    monkeypatch.setattr(HfApi, "create_commit", commit)
    assert deploy()[0] == 0
    assert len(hub.spaces["me/app"].commits) == 2


def test_ctrl_c_says_what_was_done(hub, me, deploy, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(upload, "until_running", interrupt)
    code, out, err = deploy()
    assert (code, err) == (130, "")
    assert "Stopped. Done before that: made the Space, uploaded the files." in out


def test_the_old_stage_is_not_taken_for_the_new_one(hub, me, deploy):
    """A Space that ran before is told to run for a while after the commit."""
    hub.space("me/app", requested="zero-a10g", next_build=("RUNNING", "RUNNING", "BUILDING", "BUILD_ERROR"))
    code, _, err = deploy()
    assert code == 1
    assert "The Space could not be built" in err


def test_a_stage_that_stays_is_believed_in_the_end(hub, me, deploy, monkeypatch):
    monkeypatch.setattr(wait, "SETTLE_S", 0.0)
    hub.space("me/app", requested="zero-a10g", next_build=("RUNNING",))
    assert deploy()[0] == 0


class Growing(list):
    """A log with one more line each time it is read."""

    asked = 0

    def __iter__(self):
        self.asked += 1
        return iter(self[: self.asked])


def test_the_build_log_is_told_as_it_grows_and_once(hub, me, deploy):
    space = hub.space("me/app", requested="zero-a10g", next_build=("BUILDING", "BUILDING", "APP_STARTING", "RUNNING"))
    space.build_log = Growing(["one\n", "\x1b[32mtwo\x1b[0m", "hf_" + "a1B2" * 9, "never"])
    _, out, _ = deploy()
    assert re.findall(r"\| (.*)", out) == ["[building]", "one", "two", "hf_***", "[app starting]"]


def test_a_log_that_cannot_be_read_is_no_reason_to_stop(hub, me, deploy):
    hub.fault("GET", "/logs/build", 404)
    assert deploy()[0] == 0


def test_a_hub_that_stumbles_while_it_is_waited_for_is_asked_again(hub, me, deploy):
    hub.fault("GET", "/runtime$", 503, times=3)
    assert deploy()[0] == 0


def test_warnings_about_the_card_are_shown(hub, me, deploy, folder):
    card = folder / "README.md"
    card.write_text(card.read_text().replace("emoji:", "# "))
    code, out, _ = deploy("--force")
    assert code == 0
    assert '"emoji" is missing' in out


def test_an_organisation_with_a_plan(hub, me, deploy):
    me.orgs["crew"] = {"plan": "team", "role": "write"}
    assert deploy(space="crew/app")[0] == 0
    assert "crew/app" in hub.spaces


def test_a_fine_grained_token_for_the_name(hub, me, deploy):
    me.role = "fineGrained"
    me.scopes = [{"entity": {"type": "user", "name": "me"}, "permissions": ["repo.content.read", "repo.write"]}]
    assert deploy()[0] == 0


def test_a_fine_grained_token_for_one_space(hub, me, deploy):
    hub.space("me/app", requested="zero-a10g")
    me.role = "fineGrained"
    me.scopes = [{"entity": {"type": "space", "name": "me/app"}, "permissions": ["repo.write"]}]
    assert deploy()[0] == 0


def test_a_dry_run_names_every_file_and_a_real_one_the_first(hub, me, deploy, folder):
    for number in range(20):
        (folder / f"{number:02}.txt").write_text("x")
    _, dry, _ = deploy("--dry-run")
    assert all(f"+ {number:02}.txt (1 byte)" in dry for number in range(20))
    _, out, _ = deploy()
    assert "+ 11.txt (1 byte)\n  and 11 more\n" in out
    assert "19.txt" not in out


def test_the_token_is_told_to_nobody(hub, me, deploy):
    _, out, err = deploy()
    assert me.token not in out + err
