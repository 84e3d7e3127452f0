"""Fuzz a Space with all blocks through its API and its page's events.

    python tests/fuzz/run.py --calls 10000

Ends with a table of the outcomes, and with an error where a reply holds what it must not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import httpx
from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.append(str(Path(__file__).parent))

from calls import Attack, attacks
from judge import Report, judged
from space import Reply, Space, fuzzed

LIVE_EVERY = 100
"""Calls between two visits of the other visitor, and between two days."""


def send(space: Space, attack: Attack) -> Reply:
    """Make one call."""
    if attack.way in ("rest", "named"):
        return space.simple(space.attacker, attack.target, attack.body)
    if attack.way == "page":
        return space.page(space.attacker, attack.session, attack.body)
    headers = {"content-type": "application/json", **attack.headers}
    content = attack.body.encode("utf-8", "surrogatepass")
    return space.raw(space.attacker, attack.method, attack.target, content=content, headers=headers)


def fuzz(space: Space, calls: int, start: int) -> Report:
    """Make that many calls, the same again for the same `start`."""
    report = Report()

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
        if report.calls % LIVE_EVERY == 0:
            space.live()
            print(f"{report.calls} of {calls} calls", file=sys.stderr, flush=True)
        try:
            reply = send(space, attack)
        except httpx.HTTPError as exc:
            report.add(attack, Reply(0, repr(exc)), [f"no answer to {attack.way}: {type(exc).__name__}"])
            return
        report.add(attack, reply, judged(space, attack, reply))

    one()
    return report


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
