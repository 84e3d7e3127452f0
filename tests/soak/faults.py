"""What goes wrong meanwhile: faults of the platform, of workers, of the disk."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from space import Space

from zerokit.emulator.processes import kill

KINDS = (
    "oom",
    "oom-always",
    "nan",
    "kill:0",
    "kill:0.3",
    "slow:0.05",
    "slow:0.2",
    "cold:1",
    "503",
    "401",
    "refused",
    "seconds",
    "runs",
    "cap",
    "credits",
    "queue:1",
    "queue-timeout",
    "cut-queue",
)
EVERY_S = (0.5, 2.5)
FULL_S = 3.0


async def injected(space: Space, over: asyncio.Event, is_open: asyncio.Event, dice: random.Random) -> Counter[str]:
    """Inject faults until it is over, none while visitors pause; how many of each kind."""
    injected: Counter[str] = Counter()
    while not over.is_set():
        await asyncio.sleep(dice.uniform(*EVERY_S))
        if not is_open.is_set():
            space.z.set_faults()
            continue
        what = dice.choice((*KINDS, *KINDS, "worker killed", "disk full"))
        injected[what.partition(":")[0]] += 1
        if what == "disk full":
            space.full.touch()
            await asyncio.sleep(FULL_S)
            space.full.unlink()
        elif what == "worker killed":
            for pid in space.z.workers[:1]:
                kill(pid)
        else:
            space.z.set_faults(f"{what}@{dice.randrange(1, 4)}")
    space.z.set_faults()
    return injected
