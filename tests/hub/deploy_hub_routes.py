"""What the stand-in answers: accounts, Spaces, their settings, runtime and logs. Files are in deploy_hub_files.py.

Sources: the requests that huggingface_hub 2.4 makes (`hf_api.py`, `_commit_api.py`, `_space_api.py`) and how it reads
the answers (`utils/_http.py`); the ZeroGPU limits and the pass for a Space as the Hub's documentation and Gradio's
JavaScript client have them.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable

from deploy_hub import NEW, ZERO_GPU_HOSTED, Account, Hub, Space
from deploy_hub_files import add_file_routes
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from huggingface_hub import SpaceHardware

NAME = re.compile(r"[A-Za-z0-9_][\w.-]{0,95}")
KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Refused(Exception):
    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        self.status, self.message, self.code = status, message, code

    def response(self) -> Response:
        headers = {"X-Error-Message": self.message, "X-Request-Id": "req-1"}
        if self.code:
            headers["X-Error-Code"] = self.code
        return JSONResponse({"error": self.message}, self.status, headers)


class Gate:
    """Who asks, and what they may."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def account(self, request: Request) -> Account:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if not token:
            raise Refused(401, "Invalid username or password.")
        if kind != "Bearer" or token not in self.hub.accounts:
            raise Refused(401, "Invalid credentials in Authorization header")
        return self.hub.accounts[token]

    def visitor(self, request: Request) -> Account | None:
        return self.account(request) if "authorization" in request.headers else None

    def seen(self, request: Request, owner: str, name: str) -> Space:
        visitor = self.visitor(request)
        space = self.hub.spaces.get(f"{owner}/{name}")
        if space is None or (space.private and not (visitor and visitor.sees(space.name))):
            raise Refused(404 if visitor else 401, "Repository not found", "RepoNotFound")
        return space

    def writable(self, request: Request, owner: str, name: str) -> Space:
        space = self.seen(request, owner, name)
        if not self.account(request).may_write(space.name):
            raise Refused(403, "You don't have the rights to write to this repository")
        return space


def app_of(hub: Hub) -> FastAPI:
    app = FastAPI()
    gate = Gate(hub)

    @app.exception_handler(Refused)
    async def refuse(request: Request, refused: Refused) -> Response:
        return refused.response()

    @app.middleware("http")
    async def remember(request: Request, go_on: Callable):
        method, path = request.method, request.url.path
        hub.asked.append((method, path))
        hub.tokens.add(request.headers.get("authorization", ""))
        for fault in hub.faults:
            if fault.times and fault.method == method and fault.path.search(path):
                fault.times -= 1
                return JSONResponse(fault.body or {"error": "A fault."}, fault.status, fault.headers)
        return await go_on(request)

    _add_account_routes(app, hub, gate)
    _add_space_routes(app, hub, gate)
    _add_setting_routes(app, gate)
    _add_runtime_routes(app, hub, gate)
    add_file_routes(app, hub, gate, Refused)

    @app.api_route("/{path:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
    def unknown(request: Request, path: str) -> Response:
        hub.unknown.append((request.method, f"/{path}"))
        raise Refused(404, f"The stand-in does not know {request.method} /{path}")

    return app


def _add_account_routes(app: FastAPI, hub: Hub, gate: Gate) -> None:
    @app.get("/api/whoami-v2")
    def whoami(request: Request):
        me = gate.account(request)
        token = {"displayName": f"token of {me.name}", "role": me.role}
        if me.role == "fineGrained":
            token["fineGrained"] = {"global": [], "scoped": me.scopes}
        orgs = [
            {"type": "org", "name": name, "isEnterprise": org.get("plan") == "enterprise", "roleInOrg": org["role"]}
            | ({"plan": org["plan"]} if "plan" in org else {})
            for name, org in me.orgs.items()
        ]
        return {"type": "user", "name": me.name, "isPro": me.is_pro, "orgs": orgs, "auth": {"accessToken": token}}

    @app.get("/api/spaces/zero-gpu/quota")
    def quota(request: Request):
        me = gate.account(request)
        if me.quota is None:
            raise Refused(403, "This token may not read billing")
        return me.quota


def _add_space_routes(app: FastAPI, hub: Hub, gate: Gate) -> None:
    @app.post("/api/repos/create")
    async def create(request: Request):
        me = gate.account(request)
        body = await request.json()
        owner, name = body.get("organization") or me.name, body.get("name", "")
        _check_new(body, name)
        space_name = f"{owner}/{name}"
        if not me.may_write(space_name):
            raise Refused(403, f'You don\'t have the rights to create a space under the namespace "{owner}"')
        if space_name in hub.spaces or space_name in hub.renamed:
            raise Refused(409, "You already created this space repo")
        hardware = body.get("hardware", "cpu-basic")
        _check_hosting(hub, me, owner, hardware)
        space = Space(space_name, private=body.get("visibility") == "private", requested=hardware)
        space.sleep_time = body.get("sleepTimeSeconds", space.sleep_time)
        space.next_build = NEW
        hub.first_commit(space)
        hub.spaces[space_name] = space
        return {"url": f"{hub.url}/spaces/{space_name}", "name": space_name}

    @app.get("/api/spaces")
    def listed(request: Request, author: str):
        visitor = gate.visitor(request)
        spaces = [one for one in hub.spaces.values() if one.name.startswith(f"{author}/")]
        return [
            {"id": one.name, "runtime": _runtime(one, one.stages[0])}
            for one in spaces
            if not one.private or (visitor and visitor.sees(one.name))
        ]

    @app.get("/api/spaces/{owner}/{name}")
    def info(request: Request, owner: str, name: str):
        if (moved := hub.renamed.get(f"{owner}/{name}")) is not None:
            return RedirectResponse(f"/api/spaces/{moved}", 307)
        space = gate.seen(request, owner, name)
        return {
            "id": space.name,
            "sha": space.sha,
            "private": space.private,
            "sdk": space.sdk,
            "host": space.host or f"https://{owner}-{name}.hf.space",
            "siblings": [{"rfilename": file} for file in sorted(space.files)],
            "runtime": _runtime(space, space.stages[0]),
        }

    @app.get("/api/spaces/{owner}/{name}/auth-check/write")
    def may_write(request: Request, owner: str, name: str):
        gate.writable(request, owner, name)
        return {}

    @app.get("/api/spaces/{owner}/{name}/jwt")
    def space_pass(request: Request, owner: str, name: str):
        space = gate.seen(request, owner, name)
        gate.account(request)
        token = f"pass-{secrets.token_hex(8)}"
        hub.passes[token] = space.name
        return {"token": token}


def _check_new(body: dict, name: str) -> None:
    if body.get("type") != "space":
        raise Refused(400, "This stand-in makes Spaces only")
    if not NAME.fullmatch(name):
        raise Refused(400, "Invalid repo name")
    if body.get("sdk") not in ("gradio", "docker", "static"):
        raise Refused(400, '"sdk" must be one of gradio, docker, static')
    if body.get("visibility") not in (None, "public", "private", "protected"):
        raise Refused(400, '"visibility" is wrong')
    if body.get("hardware", "cpu-basic") not in {one.value for one in SpaceHardware}:
        raise Refused(400, '"hardware" is unknown')


def _check_hosting(hub: Hub, me: Account, owner: str, hardware: str) -> None:
    plan = me.plan_of(owner)
    if hardware == "zero-a10g":
        limit = ZERO_GPU_HOSTED.get(plan or "", 0)
        there = [one for one in hub.spaces.values() if one.name.startswith(f"{owner}/") and one.requested == hardware]
        if len(there) >= limit:
            raise Refused(403, f"ZeroGPU Spaces are limited to {limit}, and there are {len(there)} in {owner}")
    elif hardware == "cpu-basic" and plan in (None, "free"):
        raise Refused(402, "Gradio and Docker Spaces on cpu-basic need a PRO subscription")


def _add_setting_routes(app: FastAPI, gate: Gate) -> None:
    async def entry(request: Request) -> tuple[str, str]:
        body = await request.json()
        key, value = body.get("key"), body.get("value")
        if not isinstance(key, str) or not KEY.fullmatch(key) or not isinstance(value, str) or not value:
            raise Refused(400, '"key" or "value" is not allowed')
        return key, value

    @app.get("/api/spaces/{owner}/{name}/secrets")
    def secret_names(request: Request, owner: str, name: str):
        return {key: {"updatedAt": None} for key in gate.writable(request, owner, name).secrets}

    @app.post("/api/spaces/{owner}/{name}/secrets")
    async def set_secret(request: Request, owner: str, name: str):
        space = gate.writable(request, owner, name)
        key, value = await entry(request)
        if key in space.variables:
            raise Refused(400, f"Collision on the name {key}: there is a variable")
        space.secrets[key] = value
        return {}

    @app.get("/api/spaces/{owner}/{name}/variables")
    def variables(request: Request, owner: str, name: str):
        space = gate.writable(request, owner, name)
        return {key: {"value": value} for key, value in space.variables.items()}

    @app.post("/api/spaces/{owner}/{name}/variables")
    async def set_variable(request: Request, owner: str, name: str):
        space = gate.writable(request, owner, name)
        key, value = await entry(request)
        if key in space.secrets:
            raise Refused(400, f"Collision on the name {key}: there is a secret")
        space.variables[key] = value
        return {name: {"value": one} for name, one in space.variables.items()}


def _add_runtime_routes(app: FastAPI, hub: Hub, gate: Gate) -> None:
    @app.get("/api/spaces/{owner}/{name}/runtime")
    def runtime(request: Request, owner: str, name: str):
        space = gate.seen(request, owner, name)
        return _runtime(space, space.stage())

    @app.post("/api/spaces/{owner}/{name}/hardware")
    async def hardware(request: Request, owner: str, name: str):
        space = gate.writable(request, owner, name)
        body = await request.json()
        if body.get("flavor") not in {one.value for one in SpaceHardware}:
            raise Refused(400, '"flavor" is unknown')
        _check_hosting(hub, gate.account(request), owner, body["flavor"])
        space.requested = body["flavor"]
        space.sleep_time = body.get("sleepTimeSeconds", space.sleep_time)
        return _runtime(space, space.stages[0])

    @app.post("/api/spaces/{owner}/{name}/sleeptime")
    async def sleep_time(request: Request, owner: str, name: str):
        space = gate.writable(request, owner, name)
        seconds = (await request.json()).get("seconds")
        if not isinstance(seconds, int) or space.requested in ("zero-a10g", "cpu-basic"):
            raise Refused(400, "The sleep time cannot be set on this hardware")
        space.sleep_time = seconds
        return _runtime(space, space.stages[0])

    @app.get("/api/spaces/{owner}/{name}/logs/{kind}")
    def logs(request: Request, owner: str, name: str, kind: str):
        space = gate.writable(request, owner, name)
        if kind not in ("build", "run"):
            raise Refused(404, "No such log")
        lines = space.build_log if kind == "build" else space.run_log
        events = [f"data: {json.dumps({'data': line, 'timestamp': '2026-01-01T00:00:00Z'})}\n\n" for line in lines]
        return StreamingResponse(iter(["data:\n\n", *events]), media_type="text/event-stream")


def _runtime(space: Space, stage: str) -> dict:
    if stage in ("RUNNING", "APP_STARTING"):
        space.hardware = space.requested
    body = {
        "stage": stage,
        "hardware": {"current": space.hardware, "requested": space.requested},
        "gcTimeout": space.sleep_time,
        "replicas": {"current": 1, "requested": 1},
    }
    return body | ({"errorMessage": space.error_message} if space.error_message else {})
