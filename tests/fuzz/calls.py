"""Calls at random, drawn from what the app itself says of its endpoints: right ones, wrong ones, hostile ones."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

TEXTS = (
    "",
    " \n\t",
    "hello",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "{{7*7}} ${7*7} %s %n #{x}",
    "'; DROP TABLE visitors; --",
    "../../../../etc/passwd",
    "/proc/self/environ",
    "file:///etc/passwd",
    "\x00\x1b[31m\u200b\ufeff\u202e",
    "👩‍👩‍👧‍👦" * 20,
    "\ud800",
    "x" * 5_000,
    "NaN",
    "-1",
    "null",
    "first",
    "ink",
    "someone/adapter",
    "__class__.__init__.__globals__",
)
NUMBERS = (0, -1, 1, 2, 32, 0.5, 1.5, 2**31, 2**63, 10**40, -(10**40), 1e308, float("nan"), float("inf"), True, False)
SESSIONS = ("a", "b", "c")
SESSION = "the session"
"""Stands for it in a body until the call is made."""
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")
ROUTES = (
    "file={path}",
    "file/{path}",
    "proxy={path}",
    "stream/{path}/0/1/playlist.m3u8",
    "custom_component/{path}/client/component/index.js",
    "upload_progress?upload_id={path}",
    "heartbeat/{path}",
    "component_server",
    "upload",
    "reset",
    "cancel",
    "queue/status",
    "queue/data?session_hash={path}",
    "run-history/records?endpoint={path}",
    "run-history/records/paint/{path}/assets/0",
    "run-history/buckets",
    "call/{path}",
    "run/{path}",
    "info?page={path}",
    "openapi.json",
    "startup-events",
    "app_id",
    "token",
    "user",
    "vibe-code",
    "process_recording",
    "mcp/",
    "mcp/sse",
    "mcp/schema?tools={path}",
)
OUTSIDE = (
    "static/{path}",
    "assets/{path}",
    "svelte/{path}",
    "pwa_icon/{path}",
    "monitoring/{path}",
    "gradio_api/deep_link?session_hash={path}",
    "login/callback?code={path}",
    "login/huggingface?_target_url={path}",
    "logout?_target_url={path}",
    "?deep_link={path}",
    "?prompt={path}&zerokit={path}",
    "config",
    "theme.css",
    "manifest.json",
    "{path}",
)


@dataclass(frozen=True)
class Attack:
    """One call.

    Args:
        way: "rest", "named", "direct" (programs), "page" (an event of the page), or "raw" (any route).
        target: a path.
        body: the text that is sent.
        session: of a page's event.
        method: of a raw call.
        headers: of a raw call.
    """

    way: str
    target: str
    body: str = ""
    session: str = ""
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Schema:
    """What can be called.

    Args:
        endpoints: the named ones: their parameters' JSON schemas by name.
        events: those of the page, by number: their inputs' JSON schemas.
        listener: an address that nobody may ask.
        secret: a file that nobody may read.
    """

    endpoints: dict[str, dict[str, Any]]
    events: dict[int, list[Any]]
    listener: str
    secret: str

    @classmethod
    def of(cls, config: dict[str, Any], info: dict[str, Any], listener: str, secret: str) -> Schema:
        endpoints = {
            name: {one["parameter_name"]: one["type"] for one in endpoint["parameters"]}
            for name, endpoint in info["named_endpoints"].items()
        }
        inputs = {one["id"]: one.get("api_info_as_input") or one.get("api_info") for one in config["components"]}
        events = {
            one["id"]: [inputs.get(component) for component in one["inputs"]]
            for one in config["dependencies"]
            if one["backend_fn"]
        }
        return cls(endpoints, events, listener, secret)


def attacks(schema: Schema) -> st.SearchStrategy[Attack]:
    """Any call."""
    return st.one_of(_simple(schema), _events(schema), _events(schema), _raw(schema))


def values(schema: Any, hostile: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A value of a JSON schema, or in one case of four any other."""
    return st.one_of(*[_fitting(schema, hostile)] * 3, hostile)


def _fitting(schema: Any, hostile: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    if not isinstance(schema, dict):
        return hostile
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of(*[_fitting(one, hostile) for one in schema["anyOf"]])
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        inner = {name: values(one, hostile) for name, one in schema["properties"].items()}
        return st.fixed_dictionaries({}, optional=inner)
    made = {
        "string": st.sampled_from(TEXTS) | st.text(max_size=40),
        "integer": st.integers(-2, 40),
        "number": st.sampled_from(NUMBERS[:7]) | st.floats(0, 40),
        "boolean": st.booleans(),
        "null": st.none(),
        "array": st.lists(values(schema.get("items"), hostile), max_size=3),
        "object": st.dictionaries(st.sampled_from(TEXTS[:12]), hostile, max_size=3),
    }
    return made.get(kind, hostile) if isinstance(kind, str) else hostile


def hostile_values(schema: Schema) -> st.SearchStrategy[Any]:
    """What nobody asked for: other types, absurd numbers, files that are not the visitor's, Gradio's own marks."""
    paths = st.sampled_from(
        [schema.secret, "/etc/passwd", "/proc/self/environ", "../secret.txt", f"{schema.listener}/x", ""]
    )
    files = st.fixed_dictionaries(
        {"path": paths, "meta": st.just({"_type": "gradio.FileData"})},
        optional={"url": paths, "orig_name": st.sampled_from(TEXTS), "size": st.sampled_from(NUMBERS)},
    )
    marks = st.sampled_from(
        [
            {"__type__": "update", "value": "x", "visible": False},
            {"_type": "gradio.FileData", "path": schema.secret},
            {"picked": {"first": 1, "ink": "x"}},
            {"background": {"path": schema.secret}, "layers": [], "composite": None},
            {"id": None, "data": None},
        ]
    )
    plain = st.one_of(st.none(), st.booleans(), st.sampled_from(NUMBERS), st.sampled_from(TEXTS), st.text(max_size=20))
    deep = st.recursive(
        plain,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(("role", "content", "path", "x")), inner)
        ),
        max_leaves=4,
    )
    return st.one_of(plain, plain, deep, files, marks)


def _simple(schema: Schema) -> st.SearchStrategy[Attack]:
    """A named endpoint, as programs call it."""
    hostile = hostile_values(schema)

    def call(name: str) -> st.SearchStrategy[Attack]:
        parameters = schema.endpoints[name]
        listed = st.tuples(*[values(one, hostile) for one in parameters.values()]).map(list)
        wrong = st.lists(hostile, max_size=14)
        body = st.one_of(listed, listed, listed, wrong).map(lambda data: _text({"data": data}))
        by_name = st.fixed_dictionaries(
            {}, optional={key: values(one, hostile) for key, one in parameters.items()}
        ).map(_text)
        return st.one_of(
            body.map(lambda text: Attack("rest", f"/gradio_api/call{name}", text)),
            by_name.map(lambda text: Attack("named", f"/gradio_api/call/v2{name}", text)),
            body.map(lambda text: Attack("direct", f"/gradio_api/run{name}", text)),
        )

    return st.sampled_from(sorted(schema.endpoints)).flatmap(call)


def _events(schema: Schema) -> st.SearchStrategy[Attack]:
    """An event of the page, as a browser sends it, or nearly."""
    hostile = hostile_values(schema)

    def event(number: int) -> st.SearchStrategy[Attack]:
        inputs = [values(one, hostile) for one in schema.events.get(number, [])]
        data = st.one_of(st.tuples(*inputs).map(list), st.tuples(*inputs).map(list), st.lists(hostile, max_size=4))
        extra = st.fixed_dictionaries(
            {}, optional={"event_data": hostile, "trigger_id": st.integers(-1, 99), "simple_format": st.booleans()}
        )
        made = st.tuples(data, extra, st.sampled_from(SESSIONS))
        return made.map(
            lambda drawn: Attack(
                "page",
                f"event {number}",
                _text({"data": drawn[0], **drawn[1], "fn_index": number, "session_hash": SESSION}),
                session=drawn[2],
            )
        )

    return st.sampled_from([*sorted(schema.events), -1, 10_000]).flatmap(event)


def _raw(schema: Schema) -> st.SearchStrategy[Attack]:
    """Any route with any method, path, headers and body."""
    climbing = ("../" * 6 + "etc/passwd", "..%2f" * 6 + "etc/passwd", "%252e%252e/secret.txt", "..\\..\\secret.txt")
    files = (
        schema.secret,
        f"/..{schema.secret}",
        f"//{schema.secret}",
        f"{schema.secret}%00.png",
        f"file://{schema.secret}",
    )
    others = (
        f"{schema.listener}/x",
        "http://169.254.169.254/latest",
        "C:\\secret.txt",
        "/dev/zero",
        "/proc/self/environ",
    )
    paths = st.sampled_from((*climbing, *files, *others, "chat", "0", "-1", "x" * 3000, "%ff", "<script>", "a?b#c"))
    routes = st.sampled_from([f"/gradio_api/{route}" for route in ROUTES] + [f"/{route}" for route in OUTSIDE])
    bodies = st.one_of(
        st.sampled_from(("", "{", "[]", "null", "[" * 2000, '{"data": NaN}', '{"data": null}', '"x"', "--x\r\n")),
        hostile_values(schema).map(_text),
        st.fixed_dictionaries(
            {},
            optional={
                name: hostile_values(schema)
                for name in ("data", "fn_index", "fn_name", "component_id", "session_hash", "event_id", "trigger_id")
            },
        ).map(_text),
    )
    headers = st.fixed_dictionaries(
        {},
        optional={
            "content-type": st.sampled_from(
                ("application/json", "text/plain", "multipart/form-data", "multipart/form-data; boundary=x")
            ),
            "x-ip-token": st.sampled_from(("", "x", "a.b.c", "eyJhbGciOiJub25lIn0.eyJ2aXNpdG9yIjoicHJvIn0.")),
            "cookie": st.sampled_from(("session=x", "session=", "access-token=x; session=e30.a.b")),
            "range": st.sampled_from(("bytes=0-", "bytes=-1", "bytes=9-1", "bytes=x")),
            "host": st.sampled_from(("evil.example", "127.0.0.1:1", "")),
            "x-hf-authorization": st.sampled_from(("Bearer hf_x", "Bearer", "x")),
            "x-forwarded-host": st.just("evil.example"),
            "accept": st.sampled_from(("text/html", "application/json", "text/event-stream")),
        },
    )
    made = st.tuples(routes, paths, st.sampled_from(METHODS[:2]) | st.sampled_from(METHODS), bodies, headers)
    return made.map(lambda d: Attack("raw", d[0].replace("{path}", d[1]), d[3], method=d[2], headers=d[4]))


def _text(value: Any) -> str:
    return json.dumps(value)
