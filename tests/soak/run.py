"""Load and faults: visitors of all plans at once, with everything going wrong that can, and the app killed midway.

    python tests/soak/run.py --minutes 10 --visitors 100

Everything is on loopback. Ends with one table, and with an error where a visitor got what was not theirs, an answer
was lost without a word, or something is left behind.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import page as browser
from faults import injected
from space import Space, Use, soaked, wait_for
from visitor import Ledger, Visitor

from zerokit.emulator.processes import group_members
from zerokit.quota.platform import PLANS

LAPS = 8
"""Times at which all visitors pause, and what the app holds is measured."""
QUIET_S = 150.0
"""By then every answer must have come when nobody asks any more, and the calls of those who left must be over."""
MORE = {"memory_mib": 1.15, "threads": 1.0, "descriptors": 1.0}
SPARE = {"memory_mib": 40, "threads": 12, "descriptors": 8}
"""How much more an app may hold at the end of its life than after its first lap: times, and plus."""


class Soak:
    """One run."""

    def __init__(self, space: Space, *, visitors: int, minutes: float, seed: int) -> None:
        self.space, self.minutes = space, minutes
        self.ledger = Ledger()
        self.uses: list[Use] = []
        plans = list(PLANS)
        self.visitors = [
            Visitor(space, f"{plans[n % len(plans)]}:v{n}", self.ledger, random.Random(f"{seed} {n}"))
            for n in range(visitors)
        ]
        self.dice = random.Random(seed)
        self.faults: Counter[str] = Counter()

    async def run(self) -> None:
        """All laps, with the app killed and started again after half of them."""
        is_open, over, running = asyncio.Event(), asyncio.Event(), set[str]()
        async with browser.browser_page() as page:
            await browser.ask(page, self.space.url)
            visits = [asyncio.create_task(one.visit(is_open, over, running)) for one in self.visitors]
            going_wrong = asyncio.create_task(injected(self.space, over, is_open, self.dice))
            for lap in range(LAPS):
                is_open.set()
                await asyncio.sleep(self.minutes * 60 / LAPS)
                if lap == LAPS // 2 - 1:
                    await self.restart(is_open)
                    await browser.find_again(page, self.space.url)
                is_open.clear()
                await self.settle(running)
                self.space.z.advance(24 * 3600)
                print(f"lap {lap + 1} of {LAPS}: {self.uses[-1]}", file=sys.stderr, flush=True)
            over.set()
            is_open.set()
            for end in await asyncio.gather(*visits, return_exceptions=True):
                if end is not None:
                    self.ledger.defect("a visitor of ours failed", repr(end))
            self.faults = await going_wrong

    async def restart(self, is_open: asyncio.Event) -> None:
        """Kill the app while visitors wait for their answers, and start it again."""
        await asyncio.to_thread(self.space.kill)
        is_open.clear()
        await asyncio.to_thread(self.space.start)
        is_open.set()
        await asyncio.sleep(self.minutes * 60 / LAPS / 4)

    async def settle(self, running: set[str]) -> None:
        """Wait until all have their answers and nothing runs any more, and measure."""
        give_up_at = time.monotonic() + QUIET_S
        while running and time.monotonic() < give_up_at:
            await asyncio.sleep(0.1)
        for name in running:
            self.ledger.defect("an answer that never came", f"{name} still waits")
        busy = self.space.busy
        if not await asyncio.to_thread(wait_for, lambda: not busy(), QUIET_S):
            self.ledger.defect("something still runs when nobody asks", str(busy()))
        self.uses.append(await asyncio.to_thread(self.space.use))
        for wrong in self.space.calibration():
            self.ledger.defect("the calibration is not intact", wrong)

    def grown(self) -> Iterator[str]:
        """What an app held more of at the end of its life than after its first lap."""
        for life in {use.life for use in self.uses}:
            first, *_, last = [use for use in self.uses if use.life == life]
            for what, times in MORE.items():
                before, after = getattr(first, what), getattr(last, what)
                if after > before * times + SPARE[what]:
                    yield f"{what.replace('_mib', '')}: from {before:.0f} to {after:.0f}"
            if last.temporary:
                yield f"{last.temporary} temporary files"


def left_behind(space: Space, group: int, threads: set[threading.Thread]) -> Iterator[str]:
    """What is still there when all is stopped."""
    yield from (f"process {pid}" for pid in group_members(group))
    if space.answers():
        yield f"port {space.port}"
    mine = {thread for thread in threading.enumerate() if thread.name.startswith("zerokit")}
    yield from (f"thread {thread.name}" for thread in mine - threads)
    yield from (f"file {file.name}" for file in space.temp.rglob("zerokit-*"))


def table(soak: Soak, took_s: float) -> Iterator[str]:
    """What came of it, as one table."""
    ledger, calls = soak.ledger, soak.space.z.calls
    yield f"| {len(soak.visitors)} visitors, {soak.minutes:g} minutes, {len(soak.uses)} laps | |"
    yield "|---|---|"
    yield f"| visits | {sum(visitor.asked for visitor in soak.visitors):,} |"
    yield from (f"| {name} | {count:,} |" for name, count in ledger.outcomes.most_common())
    yield f"| GPU calls | {len(calls):,} |"
    yield f"| GPU calls, by outcome | {_counted(Counter(call.outcome for call in calls))} |"
    yield f"| faults injected | {_counted(soak.faults)} |"
    yield f"| errors that visitors read | {_counted(ledger.errors)} |"
    for life in sorted({use.life for use in soak.uses}):
        uses = [use for use in soak.uses if use.life == life]
        for what in ("memory_mib", "threads", "descriptors"):
            unit = " MiB" if what == "memory_mib" else ""
            held = ", ".join(f"{getattr(use, what):.0f}" for use in uses)
            yield f"| {what.replace('_mib', '')} after each lap, {('first', 'second')[life]} process | {held}{unit} |"
    yield f"| wall time | {took_s:.0f} s |"
    yield f"| **defects** | **{_counted(ledger.defects) or 'none'}** |"


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counter.most_common())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--visitors", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began, threads = time.monotonic(), set(threading.enumerate())
    with tempfile.TemporaryDirectory() as folder:
        with soaked(Path(folder)) as space:
            soak = Soak(space, visitors=given.visitors, minutes=given.minutes, seed=given.seed)
            asyncio.run(soak.run())
            group = space.app.process.pid
        for what in left_behind(space, group, threads):
            soak.ledger.defect("something is left behind", what)
    for what in soak.grown():
        soak.ledger.defect("the app holds more and more", what)
    print("\n".join(table(soak, time.monotonic() - began)))
    for kind, example in soak.ledger.examples.items():
        print(f"\n{kind}: {example}", file=sys.stderr)
    return 1 if soak.ledger.defects else 0


if __name__ == "__main__":
    sys.exit(main())
