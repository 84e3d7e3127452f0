"""The stand-in itself: it refuses what the real Hub refuses, so that a test against it means something."""

from __future__ import annotations

import base64
import json

import httpx
import pytest
from huggingface_hub import CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError


@pytest.fixture
def post(hub, me):
    hub.space("me/app")

    def post(path, body, token=me.token, **headers):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        known = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.post(f"{hub.url}{path}", content=content, headers={**known, **headers})

    return post


def ndjson(*lines):
    return b"\n".join(json.dumps(line).encode() for line in lines)


HEADER = {"key": "header", "value": {"summary": "s", "description": ""}}


def file(path, content=b"text", **more):
    value = {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64", **more}
    return {"key": "file", "value": value}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (ndjson(HEADER, file("a.txt")), 200),
        (ndjson(HEADER), 400),
        (ndjson(file("a.txt")), 400),
        (ndjson({"key": "header", "value": {"summary": ""}}, file("a.txt")), 400),
        (b"not json", 400),
        (ndjson(HEADER, file("../a.txt")), 400),
        (ndjson(HEADER, file("/a.txt")), 400),
        (ndjson(HEADER, file(".git/config")), 400),
        (ndjson(HEADER, file("a.txt"), file("a.txt")), 400),
        (ndjson(HEADER, file("a.txt", encoding="utf-8")), 400),
        (ndjson(HEADER, file("a.txt", content=b"\0binary")), 400),
        (ndjson(HEADER, file("a.txt") | {"key": "deletedFile"}), 400),
        (ndjson(HEADER, {"key": "lfsFile", "value": {"path": "a", "algo": "sha256", "oid": "0" * 64, "size": 1}}), 400),
        (ndjson({"key": "header", "value": {"summary": "s", "parentCommit": "0" * 40}}, file("a.txt")), 412),
    ],
)
def test_commits(post, body, status):
    answer = post("/api/spaces/me/app/commit/main", body, **{"content-type": "application/x-ndjson"})
    assert answer.status_code == status


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("hf_nobody", 401)])
def test_who_asks(post, token, status):
    assert post("/api/spaces/me/app/variables", {"key": "A", "value": "1"}, token=token).status_code == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "new", "type": "space", "sdk": "gradio", "hardware": "zero-a10g"}, 200),
        ({"name": "app", "type": "space", "sdk": "gradio", "hardware": "zero-a10g"}, 409),
        ({"name": "new", "type": "space", "sdk": "gradio"}, 402),
        ({"name": "new", "type": "space", "hardware": "zero-a10g"}, 400),
        ({"name": "new", "type": "space", "sdk": "gradio", "hardware": "nosuch"}, 400),
        ({"name": "a b", "type": "space", "sdk": "gradio"}, 400),
        ({"name": "new", "type": "space", "sdk": "gradio", "organization": "you"}, 403),
    ],
)
def test_new_spaces(post, body, status):
    assert post("/api/repos/create", body).status_code == status


def test_a_deletion_by_the_real_client_is_refused(hub, me):
    hub.space("me/app")
    with pytest.raises(HfHubHTTPError, match="never deletes"):
        HfApi(endpoint=hub.url, token=me.token).create_commit(
            "me/app", [CommitOperationDelete("README.md")], commit_message="x", repo_type="space"
        )


def test_what_it_does_not_know_is_told(hub, me):
    assert httpx.get(f"{hub.url}/api/nosuch").status_code == 404
    assert hub.unknown == [("GET", "/api/nosuch")]
    hub.unknown.clear()
