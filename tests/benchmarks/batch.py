"""A thousand questions through `ZeroChat.batches`: how many reservations they take, and whether each is answered once.

The chat is the stand-in of `reservations.py`, on a card that has memory for 128 answers side by side: every larger
batch runs out of it and is halved within its call. The first visitor meets an app that has seen no call; the first
worker of the third one is killed.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from gradio_client import Client
from parts import models, report

from zerokit.emulator import Call, ZeroGPU
from zerokit.quota.platform import plan

HERE = Path(__file__).parent
PATIENCE_S = 600.0
TOKENS = 200
VISITORS = (
    ("free:first", "of an app that has seen no call", ()),
    ("free:second", "later", ()),
    ("pro:third", "worker killed after 20 s", ("kill:20@1",)),
    ("anonymous:fourth", "later", ()),
)
COLUMNS = (
    "visitor", "questions", "answered", "twice", "reservations", "fewest", "killed", "reserved, s", "used, s",
)  # fmt: skip


def main() -> None:
    options = report.arguments(__doc__)
    report.machine()
    count = 200 if options.quick else 1000
    report.table(f"{count} questions, {TOKENS} tokens for each", COLUMNS, rows(count))


def rows(count: int) -> Iterator[list[str]]:
    """One visitor after the other asks all of them."""
    with tempfile.TemporaryDirectory() as folder, ZeroGPU("free") as z:
        env = {
            "BENCHMARK_MODEL": str(models.make(Path(folder) / "model", hidden=64, layers=1)),
            "ZEROKIT_HOME": f"{folder}/home",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")])),
        }
        app = z.run(HERE / "apps" / "batch_chat.py", env=env, timeout_s=PATIENCE_S)
        prompts = [f"Question {number}" for number in range(count)]
        for visitor, which, faults in VISITORS:
            before = len(z.calls)
            z.set_faults(*faults)
            client = Client(app.url, headers=z.header(visitor), verbose=False)
            cap_s = plan(visitor.partition(":")[0]).cap_s
            brought, title = client.predict(prompts, TOKENS, cap_s, api_name="/answer")
            if title is not None:
                report.say(f"{visitor}: {title}")
            yield _row(f"{visitor.partition(':')[0]}, {which}", count, brought, z.calls[before:], cap_s)


def _row(name: str, count: int, brought: list[list[int]], calls: list[Call], cap_s: float) -> list[str]:
    times = Counter(place for part in brought for place in part)
    reserved_s, used_s = sum(call.reserved_s for call in calls), sum(call.used_s for call in calls)
    done = [call for call in calls if call.outcome == "done"]
    fewest = math.ceil(sum(call.used_s for call in done) / cap_s)
    return [
        name,
        f"{count:,}",
        f"{len(times):,}",
        str(sum(more > 1 for more in times.values())),
        str(len(calls)),
        str(fewest),
        str(len(calls) - len(done)),
        f"{reserved_s:.0f}",
        f"{used_s:.1f}",
    ]


if __name__ == "__main__":
    main()
