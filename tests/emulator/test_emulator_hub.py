"""The emulator's server by itself: quota, who am I, the wire's edges, and reads passed on to the real Hub."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from plain_world import until

from zerokit.emulator import ZeroGPU


@pytest.fixture
def z():
    with ZeroGPU("free") as emulator:
        yield emulator


@pytest.fixture
def http(z):
    with httpx.Client(base_url=z.url, trust_env=False, timeout=10) as client:
        yield client


def _schedule(http, z, visitor="free", **params):
    query = {"cgroupPath": "/app", "taskId": 1, "enableQueue": True, "tokenVersion": 2, "durationSeconds": 15, **params}
    if visitor is not None:
        query.setdefault("token", z.header(visitor)["x-ip-token"])
    return http.post("/zerogpu/schedule", params=query)


@contextlib.contextmanager
def _worker():
    """A process that can be named as a worker."""
    process = subprocess.Popen(["sleep", "60"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_quota_before_and_after_a_use(z, http):
    signed_in = {"Authorization": f"Bearer {z.visitor('free').token}"}
    fresh = http.get("/api/spaces/zero-gpu/quota", headers=signed_in).json()
    runs = {"used": 0, "limit": 8, "remaining": 8, "resetsAt": None}
    assert fresh == {"base": 300, "current": 300, "resetsAt": None, "runs": runs}
    z.set_left("free", 12.9)
    used = http.get("/api/spaces/zero-gpu/quota", headers=signed_in).json()
    assert used["current"] == 12
    assert used["resetsAt"].endswith("Z")
    pro = http.get("/api/spaces/zero-gpu/quota", headers={"Authorization": f"Bearer {z.visitor('pro').token}"}).json()
    assert pro == {"base": 2400, "current": 2400, "resetsAt": None, "overquotaUsed": 0}


@pytest.mark.parametrize("path", ["/api/whoami-v2", "/api/spaces/zero-gpu/quota"])
def test_without_a_token_of_ours_nothing_is_said(z, http, path):
    for headers in ({}, {"Authorization": "Bearer hf_other"}, {"Authorization": z.visitor("free").token}):
        assert http.get(path, headers=headers).status_code == 401
    anonymous = {"Authorization": f"Bearer {z.visitor('anonymous').token}"}
    assert http.get(path, headers=anonymous).status_code == 401


def test_the_hub_client_reads_both(z):
    from huggingface_hub import HfApi

    api = HfApi(endpoint=z.url, token=z.visitor("enterprise").token)
    me = api.whoami()
    assert (me["name"], me["type"], me["orgs"][0]["isEnterprise"]) == ("enterprise", "user", True)


def test_the_wire_from_schedule_to_release(z, http):
    answer = _schedule(http, z)
    assert (answer.headers["x-authenticated"], answer.headers["x-approve-result"]) == ("regular", "approved")
    grant = answer.json()
    assert (grant["idle"], grant["nvidiaIndex"]) == (False, 0)
    with _worker() as worker:
        token = grant["allowToken"]
        assert http.post("/zerogpu/allow", params={"allowToken": token, "pid": worker.pid}).status_code == 200
        assert http.post("/zerogpu/release", params={"allowToken": token, "fail": False}).status_code == 200
        assert http.post("/zerogpu/release", params={"allowToken": token, "fail": True}).status_code == 404
        again = _schedule(http, z).json()
        assert again["idle"] is True
        assert worker.poll() is None
        assert z.workers == [worker.pid]
    assert http.post("/zerogpu/startup-report").status_code == 200


def test_a_gpu_that_was_not_used_is_told_apart(z, http):
    token = _schedule(http, z).json()["allowToken"]
    assert http.post("/zerogpu/release", params={"allowToken": token, "fail": False}).status_code == 204
    assert z.calls[-1].outcome == "unused"


@pytest.mark.parametrize("pid", [0, 1, -1, 99999999])
def test_only_a_process_of_ours_can_be_a_worker(z, http, pid):
    token = _schedule(http, z).json()["allowToken"]
    assert http.post("/zerogpu/allow", params={"allowToken": token, "pid": pid}).status_code in (400, 422)


def test_the_emulator_does_not_take_itself_for_a_worker(z, http):
    token = _schedule(http, z).json()["allowToken"]
    assert http.post("/zerogpu/allow", params={"allowToken": token, "pid": os.getpid()}).status_code == 400


def test_refusals_on_the_wire(z, http):
    z.set_left("free", 10)
    seconds = _schedule(http, z)
    assert (seconds.status_code, seconds.headers["x-approve-result"]) == (429, "quota-exceeded")
    assert seconds.json()["left"] == 10
    assert 86000 < seconds.json()["wait"] <= 86400
    illegal = _schedule(http, z, durationSeconds=301)
    assert (illegal.headers["x-approve-result"], illegal.json()["wait"] < 0) == ("illegal-duration", True)
    z.set_runs("free", 0)
    runs = _schedule(http, z)
    assert (runs.headers["x-approve-result"], runs.json()["wait"]) == ("runs-exceeded", 0)
    assert "x-authenticated" not in _schedule(http, z, "anonymous", durationSeconds=999).headers
    assert _schedule(http, z, token="a.b.c").status_code == 401
    space = _schedule(http, z, None, durationSeconds=90)
    assert (space.status_code, z.calls[-1].visitor) == (429, "space")


@pytest.mark.parametrize(
    ("name", "value"),
    [("durationSeconds", -1), ("durationSeconds", "x"), ("gpuSize", "huge"), ("taskId", "x"), ("cgroupPath", "")],
)
def test_what_is_no_call_is_turned_away(z, http, name, value):
    assert _schedule(http, z, **{name: value}).status_code == 422
    assert z.calls == []


def test_a_call_in_the_queue_hears_pings_and_then_its_gpu(z, http):
    token = _schedule(http, z).json()["allowToken"]
    events = []

    def wait():
        with httpx.Client(base_url=z.url, trust_env=False, timeout=10) as other:
            answer = _schedule(other, z, "pro", taskId=2)
            events.append(answer.headers["x-queuing-reason"])
            events.extend(line for line in answer.text.splitlines() if line.startswith("event"))

    thread = threading.Thread(target=wait)
    thread.start()
    until(lambda: http.get("/zerogpu/queue-size").json() == 1)
    time.sleep(1.2)
    http.post("/zerogpu/release", params={"allowToken": token, "fail": False})
    thread.join(timeout=10)
    assert events[0] == "node"
    assert events[1:].count("event: ping") >= 1
    assert events[-1] == "event: succeeded"


def test_who_hangs_up_leaves_the_queue(z, http):
    _schedule(http, z)
    token = z.header("pro")["x-ip-token"]
    params = {"cgroupPath": "/app", "taskId": 2, "durationSeconds": 15, "token": token}
    with http.stream("POST", "/zerogpu/schedule", params=params) as answer:
        next(answer.iter_text())
    until(lambda: z.calls)
    assert z.calls[-1].outcome == "withdrawn"


def test_the_clock_runs_fast():
    with ZeroGPU("free", speed=200) as z, httpx.Client(base_url=z.url, trust_env=False, timeout=10) as http:
        _schedule(http, z)
        answer = _schedule(http, z, "pro", taskId=2)
        assert answer.text.strip().endswith("event: failed")
        assert z.calls[-1].outcome == "queue-timeout"


@pytest.fixture
def upstream(monkeypatch):
    """A Hub of its own: it says what it was asked, redirects downloads, and has one file of bytes."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.command, self.path, {key.lower(): value for key, value in self.headers.items()}))
            body = b"\x00weights" * 10000 if self.path.endswith(".safetensors") else b'{"id": "o/m"}'
            moved = self.path.startswith("/o/m/resolve")
            self.send_response(302 if moved else 404 if "missing" in self.path else 200)
            if moved:
                self.send_header("Location", "https://cdn.example/o/m")
            self.send_header("X-Repo-Commit", "abc")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_POST = do_GET

        def log_message(self, *args):
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield seen
    server.shutdown()
    thread.join()
    server.server_close()


def test_reads_are_passed_on_as_they_are(upstream, z, http):
    model = http.get("/api/models/o/m?expand=x", headers={"Authorization": "Bearer hf_real", "Cookie": "a=b"})
    assert (model.json(), model.headers["x-repo-commit"]) == ({"id": "o/m"}, "abc")
    method, path, headers = upstream[-1]
    assert (method, path, headers["authorization"]) == ("GET", "/api/models/o/m?expand=x", "Bearer hf_real")
    assert "cookie" not in headers
    moved = http.head("/o/m/resolve/main/model.safetensors")
    assert (moved.status_code, moved.headers["location"]) == (302, "https://cdn.example/o/m")
    weights = http.get("/cdn/model.safetensors")
    assert weights.content == b"\x00weights" * 10000
    assert http.get("/api/models/o/missing").status_code == 404
    assert http.post("/api/models/o/m/paths-info/main", content=b"paths=a").status_code == 200


def test_no_token_of_ours_leaves(upstream, z, http):
    http.get("/api/models/o/m", headers={"Authorization": f"Bearer {z.visitor('pro').token}", **z.header("pro")})
    assert not {"authorization", "x-ip-token"} & set(upstream[-1][2])


def test_everything_else_is_refused_aloud(upstream, tmp_path, capsys):
    record = tmp_path / "calls.jsonl"
    with ZeroGPU("free", record=record) as z, httpx.Client(base_url=z.url, trust_env=False) as http:
        unknown = ["POST /api/repos/create", "PUT /x", "GET /zerogpu/nothing", "GET /-/no"]
        for method, path in (line.split() for line in unknown):
            answer = http.request(method, path)
            assert (answer.status_code, path in answer.json()["error"]) == (404, True)
        assert http.get("/", headers={"Host": "evil.example"}).status_code == 400
    assert upstream == []
    assert "does not know POST /api/repos/create" in capsys.readouterr().out
    assert [json.loads(line)["kind"] for line in record.read_text().splitlines()] == ["unknown"] * 4


def test_a_hub_that_is_not_there(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with ZeroGPU("free") as z, httpx.Client(base_url=z.url, trust_env=False) as http:
        answer = http.get("/api/models/o/m")
        assert (answer.status_code, "did not answer" in answer.json()["error"]) == (502, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"visitor": "fre"}, "Did you mean 'free'"),
        ({"gpus": 0}, "from 1 to 64"),
        ({"left_s": 999}, "0 to 300"),
        ({"runs": 9}, "0 to 8"),
        ({"visitor": "pro", "runs": 1}, "no limit"),
        ({"speed": 0}, "above 0"),
        ({"faults": ["omm"]}, "Did you mean 'oom'"),
    ],
)
def test_arguments_that_make_no_sense(arguments, says):
    with pytest.raises(ValueError, match=says):
        ZeroGPU(**arguments)


def test_importing_the_emulator_is_cheap():
    heavy = ("torch", "gradio", "fastapi", "spaces")
    code = f"import sys, zerokit.emulator; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
