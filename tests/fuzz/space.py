"""The fuzzed Space under the local ZeroGPU, with what nobody may see planted in it and around it."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).parent
sys.path += [str(HERE.parent / "emulator"), str(HERE.parent / "unit")]

import tiny_image  # noqa: E402
import tiny_image_adapters  # noqa: E402
import tiny_text  # noqa: E402
from chat_world import World, world  # noqa: E402
from tiny_adapters import save as save_text_adapter  # noqa: E402

from calls import Schema  # noqa: E402  isort: skip

VICTIM, ATTACKER = "pro:victim", "pro:attacker"
OURS = "zk-canary-of-the-space"
"""In the environment, in a file and in the token of the Space."""
THEIRS = "zk-canary-of-the-victim"
"""In all that another visitor types."""
PATIENCE_S = 30.0


@dataclass
class Reply:
    """What one call got: the status of its answer, and all text of it."""

    status: int
    text: str
    failed: bool = False
    """An event that ended in an error."""
    words: str = ""
    """What that error says."""


class Space:
    """The running app, and what its two visitors do."""

    def __init__(self, running: World, temp: Path, listener: Listener) -> None:
        self.z, self.url, self.temp, self.listener = running.z, running.app.url, temp, listener
        self.app = running.app
        victim = self.z.visitor(VICTIM)
        self.attacker = self._client(self.z.header(ATTACKER))
        self.victim = self._client({**victim.header, "x-hf-authorization": f"Bearer {victim.token}"})
        config = self.attacker.get("/config").json()
        info = self.attacker.get("/gradio_api/info", params={"all_endpoints": "true"}).json()
        self.schema = Schema.of(config, info, listener.url, str(temp / "secret.txt"))

    def _client(self, headers: dict[str, str]) -> httpx.Client:
        """A program with a new connection for each call: after what is no HTTP the server closes one."""
        new = httpx.Limits(max_keepalive_connections=0)
        return httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE_S, limits=new)

    def close(self) -> None:
        self.attacker.close()
        self.victim.close()

    def live(self) -> None:
        """The victim's day goes on: a question, a picture and a file, each with the canary in it."""
        self.z.advance(24 * 3600)
        self.z.set_left(ATTACKER, 2400)
        asked = {"data": [f"{THEIRS} asks", [], None, 2, 0.0, None, None, None, None, None]}
        self._finish(self.victim, self.victim.post("/gradio_api/call/chat", json=asked), "/gradio_api/call/chat/")
        files = {"files": (f"{THEIRS}.png", THEIRS.encode(), "image/png")}
        self.victim.post("/gradio_api/upload", files=files)

    def simple(self, client: httpx.Client, path: str, content: str) -> Reply:
        """A call by a program: the event, then its stream."""
        return self._finish(client, _post(client, path, content), path.replace("/v2/", "/") + "/")

    def page(self, client: httpx.Client, session: str, content: str) -> Reply:
        """An event of the page: into the queue, then the messages of the session."""
        joined = _post(client, "/gradio_api/queue/join", content)
        if joined.status_code != 200:
            return Reply(joined.status_code, joined.text)
        event_id = joined.json()["event_id"]
        text = _until_its_end(client, "/gradio_api/queue/data", event_id, session_hash=session)
        failed, words = False, ""
        for message in (json.loads(line[5:]) for line in text.splitlines() if line.startswith("data:")):
            if _is_last(message, event_id):
                failed = not message.get("success", False)
                words = str((message.get("output") or message).get("error") or message.get("message") or "")
        return Reply(200, text, failed, words)

    def raw(self, client: httpx.Client, method: str, path: str, **more: Any) -> Reply:
        """Anything else; of a stream that does not end, the beginning."""
        try:
            with client.stream(method, path, timeout=5, **more) as answer:
                text = ""
                for part in answer.iter_text():
                    text += part
                    if len(text) > 2_000_000 or answer.headers.get("content-type", "").startswith("text/event-stream"):
                        break
                headers = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
                return Reply(answer.status_code, f"{headers}\n\n{text}")
        except (httpx.InvalidURL, httpx.LocalProtocolError, UnicodeError) as exc:  # no client sends that
            return Reply(0, type(exc).__name__)
        except httpx.ReadTimeout:  # a stream to which nothing happens
            return Reply(0, "nothing came")

    def _finish(self, client: httpx.Client, begun: httpx.Response, path: str) -> Reply:
        if begun.status_code != 200 or "event_id" not in begun.text:
            return Reply(begun.status_code, begun.text)
        event_id = begun.json()["event_id"]
        text = _until_its_end(client, path + event_id)
        event, _, data = text.rpartition("event: ")[2].partition("\n")
        return Reply(200, text, event == "error", words_of(data) if event == "error" else "")


def _until_its_end(client: httpx.Client, path: str, event_id: str = "", **params: str) -> str:
    """All lines of a stream; heartbeats come for ever where an event is never over."""
    text, give_up_at = "", time.monotonic() + PATIENCE_S
    with client.stream("GET", path, params=params) as stream:
        for line in stream.iter_lines():
            text += line + "\n"
            if time.monotonic() > give_up_at:
                raise httpx.ReadTimeout(f"the event was not over after {PATIENCE_S:g} s: {text[-500:]}")
            if event_id and line.startswith("data:") and _is_last(json.loads(line[5:]), event_id):
                break
    return text


def _is_last(message: dict[str, Any], event_id: str) -> bool:
    """Whether a message of a page's stream ends that event."""
    return message["msg"] == "unexpected_error" or (message["msg"], message["event_id"]) == (
        "process_completed",
        event_id,
    )


def words_of(data: str) -> str:
    """What an error event of a simple call says."""
    said = json.loads(data.partition("data:")[2] or "null")
    return str(said.get("error") or "") if isinstance(said, dict) else str(said or "")


def _post(client: httpx.Client, path: str, content: str) -> httpx.Response:
    return client.post(
        path, content=content.encode("utf-8", "surrogatepass"), headers={"content-type": "application/json"}
    )


class Listener:
    """A server that no request may ever reach."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.reached = 0
        self._thread = threading.Thread(target=self._listen, name="listener")
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.close()
            self.reached += 1

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@contextmanager
def fuzzed(folder: Path) -> Iterator[Space]:
    """The app with tiny models; all that it writes lies in `folder`/temp."""
    temp = folder / "temp"
    temp.mkdir()
    (temp / "secret.txt").write_text(OURS)
    tokens = tiny_text.tokenizer()
    model = tiny_text.random_model(tokens)
    folders = {
        "chat": tiny_text.save(folder / "chat", tokens, model),
        "chat-adapter": save_text_adapter(folder / "first", model),
        "image": tiny_image.make("stable-diffusion", folder / "image"),
        "image-adapter": tiny_image_adapters.save(folder / "ink"),
    }
    env = {
        "FUZZ_FOLDERS": json.dumps({name: str(path) for name, path in folders.items()}),
        "TMPDIR": str(temp),
        "GRADIO_TEMP_DIR": str(temp / "gradio"),
        "HF_TOKEN": f"hf_{OURS}",
        "A_SECRET_OF_THE_SPACE": OURS,
    }
    listener = Listener()
    try:
        with world(HERE / "app.py", env=env, gpus=2) as running:
            space = Space(running, temp, listener)
            yield space
            space.close()
    finally:
        listener.close()
