"""The apps in `alternatives/` and the same with ZeroKit, each under `zerokit bench`: real calls, a table for each kind.

The models are those that come with ZeroKit, so that seconds say little; what can be compared is what is reserved for
the same work, who is refused for it, and how many answers a day would hold. One visitor of each plan at a time.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from parts import report

from zerokit import embedded
from zerokit.bench import figures
from zerokit.bench.run import Load, Measured, measure

HERE = Path(__file__).parent / "alternatives"
TIERS = ("anonymous", "free")
ADAPTERS = [str(embedded.path(name)) for name in ("image-outline", "image-pastel")]
QUESTIONS = ["What is ZeroGPU?", "What is ZeroKit?", "How many runs has a free visitor?", "What is a cold start?"]
WAYS = {
    "zerokit": "ZeroKit",
    "a": "(a) default 60 s",
    "b": "(b) static 120 s, lazy",
    "c": "(c) 60 s, streaming",
    "d": "(d) tuned by hand",
}
COLUMNS = (
    "app", "plan", "asked", "served", "cut", "refused", "killed", "reserved, s", "used, s", "answers a day",
    "after 2/3 of it",
)  # fmt: skip


def main() -> None:
    options = report.arguments(__doc__, *ASKED)
    report.machine()
    os.environ["BENCHMARK_ADAPTERS"] = os.pathsep.join(ADAPTERS)
    load = Load(TIERS, visitors=1, minutes=0.03 if options.quick else 0.25, pause_s=1.0)
    for kind in options.only:
        os.environ["BENCHMARK_MODEL"] = str(embedded.path("chat" if kind == "chat" else "image"))
        rows = []
        for way, name in WAYS.items():
            api, values = ASKED[kind]
            asked = [_for_zerokit(one) for one in values] if way == "zerokit" else values
            measured = measure(HERE / f"{kind}_{way}.py", load, api=api, values=asked)
            rows += _rows(name, measured)
        report.table(f"{kind}: {60 * load.minutes:.0f} s of visits", COLUMNS, rows)


ASKED: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "chat": ("/chat", [{"message": question} for question in QUESTIONS]),
    "image": ("/generate", [{"prompt": "a red circle", "steps": steps} for steps in (10, 20, 40)]),
    "adapters": ("/generate", [{"prompt": "a red circle", "steps": 20, "adapter": one} for one in ADAPTERS]),
}


def _for_zerokit(values: dict[str, Any]) -> dict[str, Any]:
    """The same question to ZeroKit's endpoint, which takes any number of adapters by their names."""
    chosen = {"adapters": [Path(values["adapter"]).name]} if "adapter" in values else {}
    return {**{name: value for name, value in values.items() if name != "adapter"}, **chosen}


def _rows(name: str, measured: Measured) -> list[list[str]]:
    days = {day.tier: day for day in figures.days(measured)}
    rows = []
    for tier in figures.tiers(measured):
        counts = (tier.asked, tier.served, tier.cut, tier.refused, tier.killed)
        day = days.get(tier.tier)
        held = ["", ""] if day is None else [str(day.answers), str(day.answers_later)]
        rows.append([name, tier.tier, *map(str, counts), f"{tier.reserved_s:g}", f"{tier.used_s:.2f}", *held])
    return rows


if __name__ == "__main__":
    main()
