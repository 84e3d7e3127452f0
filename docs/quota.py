"""Plays one visitor's day on the emulator's own scheduler, and writes it into docs/quota.md, between its marks.

`python docs/quota.py` after a change of the platform's facts; `python docs/quota.py --record day.jsonl` leaves the
recording too, one JSON object a line as `zerokit dev --record` writes it. The clock is moved by hand, so the day
passes at once and is the same every time.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

from zerokit.emulator.clock import Clock
from zerokit.emulator.leases import Ask, Lease
from zerokit.emulator.records import Call, Recording
from zerokit.emulator.scheduler import Scheduler
from zerokit.emulator.visitors import Visitors
from zerokit.quota.platform import granted_s

PAGE = Path(__file__).with_name("quota.md")
PART = re.compile(r"(<!-- by docs/quota\.py -->\n).*?(<!-- end -->\n)", re.DOTALL)
HOUR, MINUTE, DAY = 3600.0, 60.0, 86_400.0
APP, WORKER = "/zerokit/local/app", 100
HEAD = (
    "| time | declared, s | reserved, s | used, s | outcome | left, s | runs left |",
    "|---|---|---|---|---|---|---|",
)
OUTCOMES = {
    "done": "done",
    "killed": "**killed**, and everything lost",
    "refused:seconds": "**refused**: {reserved} s reserved, {left} s left",
    "refused:runs": "**refused**: no run left",
}


@dataclass(frozen=True)
class Click:
    """What the visitor does: when, what the app declares, and how long the work takes."""

    at_s: float
    declared_s: int
    works_s: float


CLICKS = (
    Click(9 * HOUR, 40, 52.4),
    Click(9 * HOUR + 5 * MINUTE, 40, 47.9),
    Click(9 * HOUR + 10 * MINUTE, 40, 48.3),
    Click(9 * HOUR + 20 * MINUTE, 40, 47.2),
    Click(9 * HOUR + 30 * MINUTE, 40, 48.0),
    Click(9 * HOUR + 40 * MINUTE, 40, 48.0),
    Click(9 * HOUR + 41 * MINUTE, 33, 46.1),
    Click(9 * HOUR + 50 * MINUTE, 2, 4.8),
    Click(9 * HOUR + 51 * MINUTE, 4, 4.8),
    Click(9 * HOUR + 52 * MINUTE, 1, 1.0),
    Click(DAY + 9 * HOUR - 1, 40, 48.0),
    Click(DAY + 9 * HOUR, 40, 48.0),
)
"""A free visitor of a Space that declares 40 s for a picture of 48 s, and then of one that declares less."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--record", type=Path, metavar="FILE", help="leave the recording there")
    PAGE.write_text(written(PAGE.read_text("utf-8"), parser.parse_args().record), "utf-8")


def written(page: str, record: Path | None = None) -> str:
    """The page with the day as it goes today."""
    rows = [_row(click, call) for click, call in zip(CLICKS, play(record), strict=True)]
    head = (
        "| time | declared, s | reserved, s | used, s | outcome | left, s | runs left |\n|---|---|---|---|---|---|---|"
    )
    return PART.sub(lambda match: f"{match[1]}{chr(10).join([head, *rows])}\n{match[2]}", page)


def play(record: Path | None = None) -> list[Call]:
    """The day's calls, as the scheduler settled them."""
    now = 0.0
    workers: set[int] = set()
    recording = Recording(record)
    clock = Clock(calendar=lambda: 0.0, real=lambda: now)
    scheduler = Scheduler(clock, recording, ["GPU-0"], kill=workers.discard, alive=workers.__contains__)
    visitor = Visitors().account("free")
    for click in CLICKS:
        if click.at_s - now > HOUR:
            scheduler.forget(APP)  # other Spaces have used the card since
        now = click.at_s
        lease = scheduler.schedule(Ask(APP, 1, visitor, granted_s(click.declared_s), "large"))
        if not isinstance(lease, Lease):
            continue
        if not lease.idle:
            workers.add(WORKER)
            scheduler.allow(lease.token, WORKER)
        now = min(now + click.works_s, lease.kill_at)
        scheduler.tick()
        scheduler.release(lease.token, fail=False)
    recording.close()
    return recording.calls


def _row(click: Click, call: Call) -> str:
    days, seconds = divmod(int(click.at_s), int(DAY))
    minutes, rest_s = divmod(seconds, 60)
    time = f"{'next day, ' if days else ''}{minutes // 60:02}:{minutes % 60:02}:{rest_s:02}"
    said = OUTCOMES[call.outcome].format(reserved=call.reserved_s, left=f"{call.left_s:g}")
    if call.outcome == "done":
        said = "done, cold" if call.cold else "done, warm"
    used = f"{call.used_s:g}" if call.cold is not None else ""
    numbers = f"{call.declared_s} | {call.reserved_s} | {used} | {said} | {call.left_s:g} | {call.runs_left}"
    return f"| {time} | {numbers} |"


if __name__ == "__main__":
    main()
