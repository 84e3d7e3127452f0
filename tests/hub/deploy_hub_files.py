"""What the stand-in answers about files: the tree, how to upload, large files (git-lfs and Xet), commits."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import json
import struct
import time
from hashlib import sha256

import yaml
from deploy_hub import Hub, Space, Stored
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pathspec import GitIgnoreSpec

LARGE_BYTES = 10_000_000
LARGE_NAMES = ("*.safetensors", "*.bin", "*.zip", "*.npz", "*.pt")
ROW = 48
"""Bytes of each entry of a shard."""
VERIFIED, WITH_SHA256 = 1 << 31, 1 << 30


def add_file_routes(app: FastAPI, hub: Hub, gate, refused) -> None:
    _add_tree_routes(app, gate, refused)
    _add_commit_routes(app, hub, gate, refused)
    _add_lfs_routes(app, hub, gate, refused)
    _add_xet_routes(app, hub, gate, refused)


def _add_tree_routes(app: FastAPI, gate, refused) -> None:
    @app.get("/api/spaces/{owner}/{name}/tree/{revision}")
    def tree(request: Request, owner: str, name: str, revision: str, recursive: bool = False):
        space = gate.seen(request, owner, name)
        if revision not in ("main", space.sha):
            raise refused(404, "Revision not found", "RevisionNotFound")
        if not recursive:
            raise refused(400, "This stand-in lists trees recursively only")
        folders = {parent for file in space.files for parent in _parents(file)}
        listed = [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in sorted(folders)]
        return listed + [_entry(path, file) for path, file in sorted(space.files.items())]

    @app.post("/api/validate-yaml")
    async def validate(request: Request):
        body = await request.json()
        problem = card_problem(body["content"])
        if problem:
            return JSONResponse({"errors": [{"message": problem}], "warnings": []}, 400)
        return {"errors": [], "warnings": [] if "emoji" in body["content"] else [{"message": '"emoji" is missing'}]}

    @app.post("/api/spaces/{owner}/{name}/preupload/{revision}")
    async def preupload(request: Request, owner: str, name: str, revision: str):
        space = gate.writable(request, owner, name)
        body = await request.json()
        ignored = GitIgnoreSpec.from_lines(body.get("gitIgnore", "").splitlines())
        return {"files": [_mode(space, file, ignored, refused) for file in body["files"]]}


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


def _entry(path: str, file: Stored) -> dict:
    entry = {"type": "file", "path": path, "oid": file.oid, "size": file.size}
    if file.sha256:
        entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 134}
    return entry


def _mode(space: Space, file: dict, ignored: GitIgnoreSpec, refused) -> dict:
    path, size = file["path"], file["size"]
    sample = base64.b64decode(file["sample"], validate=True)
    if not isinstance(size, int) or len(sample) != min(size, 512):
        raise refused(400, "The sample does not fit the size")
    is_large = size > LARGE_BYTES or b"\0" in sample or any(fnmatch.fnmatch(path, one) for one in LARGE_NAMES)
    there = space.files.get(path)
    return {
        "path": path,
        "uploadMode": "lfs" if is_large else "regular",
        "shouldIgnore": ignored.match_file(path),
        "oid": (there.sha256 or there.oid) if there else None,
    }


def card_problem(text: str) -> str | None:
    """What is wrong with a Space's README.md; None when nothing is."""
    if not text.startswith("---\n") or "\n---" not in text[4:]:
        return None  # no card is allowed, and warned of
    try:
        card = yaml.safe_load(text[4:].partition("\n---")[0])
    except yaml.YAMLError as exc:
        return f"YAML: {exc}"
    if not isinstance(card, dict) or card.get("sdk") not in ("gradio", "docker", "static"):
        return '"sdk" must be one of gradio, docker, static'
    return None


def _add_commit_routes(app: FastAPI, hub: Hub, gate, refused) -> None:
    @app.post("/api/spaces/{owner}/{name}/commit/{revision}")
    async def commit(request: Request, owner: str, name: str, revision: str):
        space = gate.writable(request, owner, name)
        if request.headers.get("content-type") != "application/x-ndjson" or revision != "main":
            raise refused(400, "A commit is NDJSON for main")
        try:
            lines = [json.loads(line) for line in (await request.body()).splitlines()]
        except ValueError:
            raise refused(400, "A commit is NDJSON") from None
        header, files = _read_commit(lines, hub, refused)
        if header.get("parentCommit") not in (None, space.sha):
            raise refused(412, "A commit has happened since. Please refresh and try again.")
        oid = space.commit(header["summary"], files)
        hub.build(space)
        return {"success": True, "commitOid": oid, "commitUrl": f"{hub.url}/spaces/{space.name}/commit/{oid}"}


def _read_commit(lines: list[dict], hub: Hub, refused) -> tuple[dict, dict[str, Stored]]:
    if not lines or lines[0].get("key") != "header" or not lines[0]["value"].get("summary"):
        raise refused(400, "The first line is the header, with a summary")
    files: dict[str, Stored] = {}
    for line in lines[1:]:
        value = line["value"]
        path = value.get("path", "")
        if not path or path.startswith("/") or ".." in path.split("/") or ".git" in path.split("/") or path in files:
            raise refused(400, f"The path {path!r} is not allowed, or is there twice")
        if line["key"] == "file":
            files[path] = Stored.regular(_content(value, refused))
        elif line["key"] == "lfsFile":
            if value.get("algo") != "sha256" or hub.large.get(value.get("oid")) != value.get("size"):
                raise refused(400, f"The large file {path} was not uploaded")
            files[path] = Stored.large(value["oid"], value["size"])
        else:
            raise refused(400, f"This stand-in never deletes ({line['key']})")
    if not files:
        raise refused(400, "Nothing to commit")
    return lines[0]["value"], files


def _content(value: dict, refused) -> bytes:
    try:
        content = base64.b64decode(value["content"], validate=True)
    except (KeyError, binascii.Error):
        raise refused(400, "The content is not base64") from None
    if value.get("encoding") != "base64" or len(content) > LARGE_BYTES or b"\0" in content:
        raise refused(400, "A binary or large file goes through large file storage")
    return content


def _add_lfs_routes(app: FastAPI, hub: Hub, gate, refused) -> None:
    """The batch API of git-lfs, which the client uses where hf_xet is not there or switched off."""

    @app.post("/spaces/{owner}/{name}.git/info/lfs/objects/batch")
    async def batch(request: Request, owner: str, name: str):
        gate.writable(request, owner, name)
        body = await request.json()
        if "git-lfs" not in request.headers.get("accept", "") or body.get("operation") != "upload":
            raise refused(400, "This is not a batch of uploads")
        objects = []
        for one in body["objects"]:
            upload = {"href": f"{hub.url}/-/large/{one['oid']}"}
            is_there = hub.large.get(one["oid"]) == one["size"]
            objects.append(one if is_there else {**one, "actions": {"upload": upload}})
        return {"transfer": "basic", "objects": objects}

    @app.put("/-/large/{oid}")
    async def store(request: Request, oid: str) -> Response:
        content = await request.body()
        if sha256(content).hexdigest() != oid:
            raise refused(400, "The content is another")
        hub.large[oid] = len(content)
        return Response()


def _add_xet_routes(app: FastAPI, hub: Hub, gate, refused) -> None:
    """The chunk storage that hf_xet speaks to; it takes every chunk, and knows a file by what its shard says."""

    @app.get("/api/spaces/{owner}/{name}/xet-write-token/{revision}")
    def token(request: Request, owner: str, name: str, revision: str):
        gate.writable(request, owner, name)
        body = {"casUrl": f"{hub.url}/-/xet", "accessToken": "xet-token", "exp": int(time.time()) + 3600}
        headers = {
            "X-Xet-Cas-Url": body["casUrl"],
            "X-Xet-Access-Token": body["accessToken"],
            "X-Xet-Token-Expiration": str(body["exp"]),
        }
        return JSONResponse(body, headers=headers)

    def by_xet(request: Request) -> None:
        if request.headers.get("authorization") != "Bearer xet-token":
            raise refused(401, "The storage takes its own token only")

    @app.get("/-/xet/v1/chunks/default/{chunk}")
    @app.post("/-/xet/v1/xorb-grants/default/{chunk}")
    @app.post("/-/xet/v2/shards")
    def not_here(chunk: str = ""):
        raise refused(404, "The client has another way")

    @app.post("/-/xet/v1/xorbs/default/{xorb}")
    async def keep(request: Request, xorb: str):
        by_xet(request)
        if not await request.body():
            raise refused(400, "No chunks")
        return {"was_inserted": True}

    @app.post("/-/xet/v1/shards")
    async def shard(request: Request):
        by_xet(request)
        hub.large.update(files_of_shard(await request.body()))
        return {"result": 1}

    @app.post("/v1/telemetry")
    @app.head("/api/telemetry/{path:path}")
    def telemetry() -> Response:
        return Response()


def files_of_shard(shard: bytes) -> dict[str, int]:
    """Size by SHA-256 of the files that a shard tells of. Source: https://huggingface.co/docs/xet/shard."""
    files, at = {}, ROW
    while shard[at : at + 32] != b"\xff" * 32:
        flags, count = struct.unpack_from("<II", shard, at + 32)
        at += ROW
        size = sum(struct.unpack_from("<I", shard, at + ROW * i + 36)[0] for i in range(count))
        at += ROW * count * (2 if flags & VERIFIED else 1)
        if flags & WITH_SHA256:
            words = struct.unpack_from("<4Q", shard, at)
            files["".join(f"{word:016x}" for word in words)] = size
            at += ROW
    return files
