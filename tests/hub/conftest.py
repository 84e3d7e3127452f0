"""A stand-in for the Hub for each test, with a token that may write, and a Space's folder."""

from __future__ import annotations

import shutil
import sys
import types
from pathlib import Path

import pytest
from huggingface_hub import close_session

sys.path.insert(0, str(Path(__file__).parent))
from deploy_hub import serve

from zerokit import cli
from zerokit.deploy import wait

APPS = Path(__file__).parents[2] / "apps"


@pytest.fixture(scope="session")
def served():
    with serve() as hub:
        yield hub
    close_session()


@pytest.fixture
def hub(served, monkeypatch):
    """The stand-in as at its start; a request that it does not know fails the test."""
    served.forget()
    monkeypatch.setenv("HF_ENDPOINT", served.url)
    monkeypatch.setattr(wait, "POLL_S", 0.0)
    yield served
    assert served.unknown == []


@pytest.fixture
def me(hub, monkeypatch):
    """Somebody with a free account and a token that may write."""
    account = hub.account("me")
    monkeypatch.setenv("HF_TOKEN", account.token)
    return account


@pytest.fixture
def folder(tmp_path):
    """The folder of a Space without faults."""
    return Path(shutil.copytree(APPS / "chat", tmp_path / "space"))


@pytest.fixture
def retries(monkeypatch):
    """How long the Hub's client would have waited before each new try."""
    waited = []
    monkeypatch.setattr("huggingface_hub.utils._http.time", types.SimpleNamespace(sleep=waited.append))
    return waited


@pytest.fixture
def run(capsys):
    """Runs the command line: its exit code, stdout and stderr."""

    def run(*args):
        try:
            cli.main([str(arg) for arg in args])
            code = 0
        except SystemExit as exc:
            code = exc.code or 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def deploy(run, folder):
    """Deploys the folder to me/app without a smoke call."""

    def deploy(*args, space="me/app"):
        return run("deploy", folder, "--space", space, "--no-smoke", *args)

    return deploy
