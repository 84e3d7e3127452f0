"""Fuzz a Space with all blocks through its API and its page's events.

    python tests/fuzz/run.py --calls 10000

Ends with a table of the outcomes, and with an error where a reply holds what it must not.
"""

from __future__ import annotations

import argparse
import queue
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.append(str(Path(__file__).parent))

from calls import SESSION, Attack, attacks
from judge import Report, judged
from space import Reply, Space, fuzzed

SENDERS = 4
LIVE_EVERY = 100
"""Calls between two visits of the other visitor, and between two days."""


def send(space: Space, attack: Attack, sender: str) -> Reply:
    """Make one call; each sender has sessions of its own."""
    if attack.way in ("rest", "named"):
        return space.simple(space.attacker, attack.target, attack.body)
    if attack.way == "page":
        session = f"{attack.session}{sender}"
        return space.page(space.attacker, session, attack.body.replace(SESSION, session))
    headers = {"content-type": "application/json", **attack.headers}
    content = attack.body.encode("utf-8", "surrogatepass")
    return space.raw(space.attacker, attack.method, attack.target, content=content, headers=headers)


def fuzz(space: Space, calls: int, start: int) -> Report:
    """Draw that many calls, the same again for the same `start`, and make some at a time."""
    report, lock = Report(), threading.Lock()
    waiting: queue.Queue[Attack | None] = queue.Queue(maxsize=2 * LIVE_EVERY)

    def work(sender: int) -> None:
        while (attack := waiting.get()) is not None:
            try:
                reply = send(space, attack, str(sender))
                defects = judged(space, attack, reply)
            except httpx.HTTPError as exc:
                reply, defects = Reply(0, repr(exc)), [f"no answer to {attack.way}: {type(exc).__name__}"]
            with lock:
                report.add(attack, reply, defects)

    with ThreadPoolExecutor(SENDERS) as pool:
        senders = [pool.submit(work, number) for number in range(SENDERS)]
        try:
            _draw(space, calls, start, waiting)
        finally:
            for _ in senders:
                waiting.put(None)
        for sender in senders:
            sender.result()
    return report


def _draw(space: Space, calls: int, start: int, waiting: queue.Queue[Attack | None]) -> None:
    drawn = 0

    @seed(start)
    @settings(
        max_examples=calls,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(attacks(space.schema))
    def one(attack: Attack) -> None:
        nonlocal drawn
        if drawn % LIVE_EVERY == 0:
            space.live()
            print(f"{drawn:,} of {calls:,} calls", file=sys.stderr, flush=True)
        drawn += 1
        waiting.put(attack)

    one()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given_ = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, fuzzed(Path(folder)) as space:
        began = time.monotonic()
        report = fuzz(space, given_.calls, given_.seed)
        print("\n".join(report.lines()))
        print(f"\nseed {given_.seed}, {time.monotonic() - began:.0f} s")
    return 1 if report.found else 0


if __name__ == "__main__":
    sys.exit(main())
