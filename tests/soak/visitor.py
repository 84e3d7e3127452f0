"""A visitor: asks for answers and pictures, stops, leaves and comes back; and sees to it that all is theirs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import uuid
from collections import Counter
from dataclasses import dataclass, field

import httpx
from space import Space

from zerokit.pictures.record import read_png

PATIENCE_S = 120.0
"""An answer that has not come after so long is lost."""
MARK = re.compile(r"mark-[a-z]+-v\d+-[0-9a-f]{8}")
LEFT = re.compile(r"you have (\d+) s left")
METER = re.compile(r'"exactness": ?"exact"[^{}]*?"left_s": ?([\d.]+)')
PAUSE_S = (0.5, 8.0)
RIGHT = ("complete", "length", "deadline", "interrupted", "stopped")


@dataclass
class Ledger:
    """What came of all visits."""

    outcomes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    """By title."""
    defects: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def defect(self, kind: str, example: str) -> None:
        self.defects[kind] += 1
        self.examples.setdefault(kind, example[:1500])


class Visitor:
    """One visitor of the Space, with a page of their own.

    Args:
        space: where they go.
        name: with their plan in it.
        ledger: for what comes of it.
        dice: decides all they do.
    """

    def __init__(self, space: Space, name: str, ledger: Ledger, dice: random.Random) -> None:
        self.space, self.name, self.ledger, self.dice = space, name, ledger, dice
        self.me = space.z.visitor(name)
        headers = dict(self.me.header)
        if not name.startswith("anonymous") and dice.random() < 0.6:
            headers["x-hf-authorization"] = f"Bearer {self.me.token}"
        self.client = httpx.AsyncClient(
            base_url=space.url, headers=headers, timeout=PATIENCE_S, limits=httpx.Limits(max_keepalive_connections=0)
        )
        self.asked = 0
        self._tag = name.replace(":", "-")
        self._alive: asyncio.Task[None] | None = None
        self.session = uuid.uuid4().hex[:12]

    async def visit(self, is_open: asyncio.Event, over: asyncio.Event, running: set[str]) -> None:
        """Do one thing after the other until it is over; pause while it is closed."""
        while not over.is_set():
            await is_open.wait()
            if over.is_set():
                break
            running.add(self.name)
            self._live()
            try:
                await self.act()
            finally:
                running.discard(self.name)
            await asyncio.sleep(self.dice.uniform(*PAUSE_S))
        self._new_page()
        await self.client.aclose()

    def _live(self) -> None:
        """Hold the connection by which Gradio knows that a page is open; after a restart a new one."""
        if self._alive is None or self._alive.done():
            self._alive = asyncio.create_task(self._heartbeat(self.session))

    async def _heartbeat(self, session: str) -> None:
        with contextlib.suppress(httpx.TransportError):  # the app is gone
            async with self.client.stream("GET", f"/gradio_api/heartbeat/{session}") as stream:
                async for _ in stream.aiter_raw():
                    pass

    def _new_page(self) -> None:
        """Close the page; the next one is of another session."""
        if self._alive is not None:
            self._alive.cancel()
        self.session = uuid.uuid4().hex[:12]

    async def act(self) -> None:
        """One thing that a visitor does."""
        acts = (self.ask, self.paint, self.ask_on_the_page, self.paint_on_the_page, self.reload)
        act = self.dice.choices(acts, (4, 3, 3, 2, 1))[0]
        life = self.space.life
        self.asked += 1
        mark = f"mark-{self._tag}-{self.dice.randrange(16**8):08x}"
        try:
            await asyncio.wait_for(act(mark), PATIENCE_S)
        except (httpx.TransportError, httpx.HTTPStatusError, json.JSONDecodeError) as exc:
            # The one way in which an answer may be lost without words: the app itself is gone.
            if life == self.space.life and self.space.answers():
                self.ledger.defect("no answer", f"{self.name} {act.__name__}: {exc!r}")
            self.ledger.outcomes["while the app was down"] += 1
        except asyncio.TimeoutError:
            self.ledger.defect("an answer that never came", f"{self.name} {act.__name__} {mark}")

    async def ask(self, mark: str) -> None:
        """As a program, through REST."""
        prompt = f"{mark} " + "".join(self.dice.choices("abcdefgh ", k=self.dice.randrange(60))).strip()
        data = [prompt, [], self.dice.choice((None, "Be brief.")), self.dice.choice((3, 20, 200)), *[None] * 5]
        if (answer := await self._call("chat", data, mark)) is None:
            return
        text, ended = answer[0]["text"], answer[0]["ended"]
        if ended not in RIGHT or (
            text.strip() != prompt.strip() if ended == "complete" else not prompt.startswith(text)
        ):
            self.ledger.defect("an answer that is not the visitor's", f"{prompt!r} got {answer}")
        self.ledger.outcomes["answered" if ended == "complete" else f"answered, {ended}"] += 1

    async def paint(self, mark: str) -> None:
        """As a program; the file says whose prompt it was made from."""
        seed, images = self.dice.randrange(1000), self.dice.choice((1, 1, 2))
        sizes = self.dice.choice((32, 48, 64)), self.dice.choice((32, 64))
        data = [mark, "", *sizes, images, self.dice.choice((1, 2, 4)), None, seed, "", None, None, 0.6]
        if (answer := await self._call("generate", data, mark)) is None:
            return
        gallery, details = answer
        for item in gallery:
            file = await self.client.get(f"/gradio_api/file={item['image']['path']}")
            record = read_png(file.content) if file.status_code == 200 and file.content else None
            if record is None or record.prompt != mark or record.seed not in details["seeds"]:
                self.ledger.defect("a picture that is not the visitor's", f"{mark} got {record} ({file.status_code})")
        if not gallery and details["ended"] == "complete":
            self.ledger.defect("no picture and no error", f"{mark} got {details}")
        ended = details["ended"]
        self.ledger.outcomes["answered" if ended == "complete" else f"answered, {ended}"] += 1

    async def ask_on_the_page(self, mark: str) -> None:
        """Type and send; the text goes one way, the answer comes another."""
        await self._event("_clear_and_save_textbox", {0: mark})
        await self._event("_submit_fn", {}, mark, stop="_stop")

    async def paint_on_the_page(self, mark: str) -> None:
        await self._event("paint", {0: mark}, mark, stop="_stop_1")

    async def reload(self, mark: str) -> None:
        """The page anew: another session."""
        (await self.client.get("/")).raise_for_status()
        self._new_page()
        self.ledger.outcomes["reloaded"] += 1

    async def _call(self, api: str, data: list[object], mark: str) -> list | None:
        """A call by a program; None: it was refused with words, or the program left."""
        before = self.me.left_s
        begun = await self.client.post(f"/gradio_api/call/{api}", json={"data": data})
        begun.raise_for_status()
        path = f"/gradio_api/call/{api}/{begun.json()['event_id']}"
        if self.dice.random() < 0.1:
            await self._leave(path)
            return None
        text = (await self.client.get(path)).text
        self._look(text, mark, before)
        event, _, rest = text.rpartition("event: ")[2].partition("\n")
        said = json.loads(rest.partition("data:")[2] or "null")
        if event == "complete":
            return said
        self._refused(said, f"{self.name} {api} {text[-500:]}")
        return None

    async def _event(self, name: str, values: dict[int, object], mark: str = "", stop: str = "") -> None:
        """An event of the page, and what the visitor sees of it; sometimes they stop it, or close the page."""
        before = self.me.left_s
        number = self.space.event(name)
        data = self.space.values(number)
        for place, value in values.items():
            data[place] = value
        asked = {"data": data, "fn_index": number, "session_hash": self.session}
        (await self.client.post("/gradio_api/queue/join", json=asked)).raise_for_status()
        path = f"/gradio_api/queue/data?session_hash={self.session}"
        does = self.dice.choices(("wait", "stop", "leave"), (7, 2, 1))[0] if stop else "wait"
        if does == "leave":
            await self._leave(path)
            self._new_page()
            return
        stopping = asyncio.create_task(self._press(stop)) if does == "stop" else None
        text = (await self.client.get(path)).text
        if stopping is not None:
            await stopping
        self._look(text, mark, before)
        ends = [
            json.loads(line[5:]) for line in text.splitlines() if '"msg":"process_completed"' in line.replace(" ", "")
        ]
        if not ends:
            self.ledger.defect("an event without an end", f"{self.name} {name}: {text[-800:]}")
        elif not ends[-1]["success"]:
            self._refused(ends[-1]["output"], f"{self.name} {name}: {text[-800:]}")
        elif stop:
            self._shown(text, mark, stopped=does == "stop")

    async def _press(self, stop: str) -> None:
        await asyncio.sleep(self.dice.uniform(0, 1.5))
        asked = {"data": [], "fn_index": self.space.event(stop), "session_hash": self.session}
        (await self.client.post(f"/gradio_api/run/{stop}", json=asked)).raise_for_status()

    async def _leave(self, path: str) -> None:
        """Close the connection in the middle."""
        try:
            async with self.client.stream("GET", path) as stream:
                await asyncio.wait_for(anext(stream.aiter_raw(), b""), self.dice.uniform(0.05, 2))
        except asyncio.TimeoutError:  # nothing came until they left
            self.ledger.outcomes["left"] += 1
            return
        self.ledger.outcomes["left"] += 1

    def _shown(self, text: str, mark: str, *, stopped: bool) -> None:
        """What the page showed in the end: something of the visitor's, or a card that says why not."""
        if "zi-error" in text or "zerokit-note-error" in text:
            title = re.search(r"<b>(.*?)</b>|\*\*(.*?)\*\*", text.replace('\\"', '"'))
            self.ledger.errors[(title[1] or title[2]) if title else "?"] += 1
            self.ledger.outcomes["refused with words"] += 1
        elif "Stopped before" in text or stopped:
            self.ledger.outcomes["stopped"] += 1
        elif "GPU: reserved" in text:
            self.ledger.outcomes["answered"] += 1
        else:
            self.ledger.defect("a page that shows neither an answer nor why", f"{self.name} {mark}: {text[-900:]}")

    def _look(self, text: str, mark: str, before_s: float) -> None:
        """Nothing of anybody else is in it: no mark and no quota."""
        for found in set(MARK.findall(text)) - {mark}:
            if not found.startswith(f"mark-{self._tag}-"):
                self.ledger.defect("another visitor's text", f"{self.name} saw {found}")
        after_s = self.me.left_s
        for told in [*LEFT.findall(text), *METER.findall(text)]:
            if told == "0":  # the fault `seconds` says so to everybody
                continue
            if not min(before_s, after_s) - 1.5 <= float(told) <= max(before_s, after_s) + 1.5:
                told_of = f"{self.name} had {before_s:.1f} s, then {after_s:.1f} s, and was told {told} s"
                self.ledger.defect("another quota than the visitor's", told_of)

    def _refused(self, said: object, example: str) -> None:
        title, words = (said.get("title"), said.get("error")) if isinstance(said, dict) else (None, None)
        if not title or not words or title == "This did not work":
            self.ledger.defect("an error without words of ours", example)
        self.ledger.errors[str(title)] += 1
        self.ledger.outcomes["refused with words"] += 1
