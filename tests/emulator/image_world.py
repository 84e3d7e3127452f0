"""An image Space under the emulator, for the tests that ask it through its API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from chat_world import HERE, World, until, world
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from zerokit.emulator import Call, ZeroGPU
from zerokit.pictures.record import Record, read_png

import tiny_image  # found where chat_world looks for it  # isort: skip

APPS = HERE / "image_apps"
DETAILS = {"seeds", "width", "height", "steps", "ended", "notes", "flagged", "seconds", "reserved_s", "used_s"}


@dataclass
class Made:
    """What a program got for one call."""

    files: list[Path]
    captions: list[str]
    details: dict[str, Any]

    @property
    def pictures(self) -> list[Image.Image]:
        return [Image.open(file).convert("RGB") for file in self.files]

    @property
    def records(self) -> list[Record | None]:
        return [read_png(file) for file in self.files]

    def __getitem__(self, name: str) -> Any:
        return self.details[name]


class Images:
    """The Space, and what its visitors can do."""

    def __init__(self, space: World, temp: Path) -> None:
        self.space, self.temp = space, temp
        self.z: ZeroGPU = space.z
        self.app = space.app
        self._clients: dict[tuple[str, bool], Client] = {}

    def client(self, visitor: str = "free", *, signed_in: bool = False) -> Client:
        """A program of that visitor; signed in, it hands over their Hub token."""
        key = visitor, signed_in
        if key not in self._clients:
            who = self.z.visitor(visitor)
            self._clients[key] = Client(
                self.app.url,
                headers=who.header,
                oauth_token=who.token if signed_in else None,
                download_files=self.temp.parent / "downloads",
                verbose=False,
                analytics_enabled=False,
            )
        return self._clients[key]

    def paint(
        self, prompt: object = "a red circle", *, visitor: str = "free", signed_in: bool = False, **settings: object
    ) -> Made:
        """Ask as a program does."""
        client = self.client(visitor, signed_in=signed_in)
        return self.made(*client.predict(prompt, api_name="/generate", **settings))

    def made(self, gallery: list[dict[str, str]], details: dict[str, Any]) -> Made:
        return Made([Path(item["image"]) for item in gallery], [item["caption"] for item in gallery], details)

    def refused(self, *args: object, **settings: object) -> AppError:
        """The error of a call; it tells nothing that is not for visitors."""
        with pytest.raises(AppError) as caught:
            self.paint(*args, **settings)  # type: ignore[arg-type]
        said = f"{caught.value.title} {caught.value.message}"
        assert "Traceback" not in said
        assert "zerokit" not in said.lower()
        assert str(self.temp.parent) not in said
        return caught.value

    def rest(self, body: str) -> str:
        """What the REST endpoint answers to this body: its event stream."""
        url = f"{self.app.url}/gradio_api/call/generate"
        asked = httpx.post(url, content=body, headers={"content-type": "application/json"}, timeout=60)
        if asked.status_code != 200:
            return asked.text
        return httpx.get(f"{url}/{asked.json()['event_id']}", timeout=60).text

    @property
    def last(self) -> Call:
        return self.z.calls[-1]

    def new_day(self) -> None:
        self.space.new_day()

    def settle(self) -> None:
        """Nobody holds or waits for a GPU; no thread of a call and no word to stop is left."""
        until(lambda: self.z.leases == [] and self.client().predict(api_name="/threads") == [], 30)
        assert list(self.temp.rglob("zerokit-stop-*")) == []

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


@contextmanager
def image_world(app: str, folder: Path, *, env: dict[str, str] | None = None, **emulator: object) -> Iterator[Images]:
    """Run one app of `APPS` with a tiny model; all that it writes lies in `folder`/temp."""
    model, temp = tiny_image.make("stable-diffusion", folder / "model"), folder / "temp"
    temp.mkdir()
    with world(APPS / app, env={"IMAGE_MODEL": str(model), "TMPDIR": str(temp), **(env or {})}, **emulator) as space:
        images = Images(space, temp)
        yield images
        images.close()


def same(one: Image.Image, other: Image.Image, tolerance: int = 0) -> bool:
    """Whether two pictures have the same size and, but for `tolerance`, the same pixels."""
    if one.size != other.size:
        return False
    pairs = zip(one.tobytes(), other.tobytes(), strict=True)
    return all(abs(a - b) <= tolerance for a, b in pairs)


def upload(file: Path) -> object:
    return handle_file(str(file))


def body(*data: object) -> str:
    return json.dumps({"data": data})
