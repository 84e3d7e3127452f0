"""What no reply may be or hold, and the table of what came."""

from __future__ import annotations

import re
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from calls import Attack
from space import ATTACKER, OURS, THEIRS, VICTIM, Reply, Space

ROOT = Path(__file__).parents[2]
TRACEBACK = re.compile(r'Traceback \(most recent call last\)|File "[^"]+", line \d+|\.py:\d+')
INSIDE = re.compile(r"zerokit\.(calls|blocks|engines|quota|pictures|errors)\b|site-packages")
BARE = "Internal Server Error"
"""What Gradio's own routes say of an event that is not there, and of named parameters that are not its."""
EXAMPLES = 3
"""Calls that are kept of each kind of defect."""


@dataclass
class Report:
    """Counts by way and outcome, and what was found."""

    calls: int = 0
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    found: dict[str, list[tuple[Attack, Reply]]] = field(default_factory=dict)
    times: Counter[str] = field(default_factory=Counter)

    def add(self, attack: Attack, reply: Reply, defects: list[str]) -> None:
        self.calls += 1
        self.outcomes[attack.way, outcome(reply)] += 1
        for defect in defects:
            self.times[defect] += 1
            if defect not in self.found:
                print(
                    f"{defect}: {attack} got {reply.status} {reply.text[-300:]!r}"[:1500], file=sys.stderr, flush=True
                )
            examples = self.found.setdefault(defect, [])
            if len(examples) < EXAMPLES:
                examples.append((attack, reply))

    def lines(self) -> Iterator[str]:
        """The table, and below it each kind of defect with examples."""
        kinds = sorted({kind for _, kind in self.outcomes})
        yield "| calls | " + " | ".join(kinds) + " |"
        yield "|---|" + "---|" * len(kinds)
        for way in sorted({way for way, _ in self.outcomes}):
            yield f"| {way} | " + " | ".join(f"{self.outcomes[way, kind]:,}" for kind in kinds) + " |"
        yield f"\n{self.calls:,} calls, {sum(self.times.values()):,} replies with a defect"
        for defect, examples in sorted(self.found.items()):
            yield f"\n{defect}: {self.times[defect]:,} times"
            for attack, reply in examples:
                yield f"  {attack.method} {attack.target[:200]} {attack.headers or ''} {attack.body[:600]}"
                yield f"    {reply.status} {reply.text[-600:]!r}"


def outcome(reply: Reply) -> str:
    """The column of the table."""
    if reply.failed:
        return "refused with words" if reply.words else "failed without words"
    if reply.text == BARE:
        return "bare 500 of Gradio"
    if reply.status == 0:
        return "not sent"
    return f"HTTP {reply.status // 100}xx"


def judged(space: Space, attack: Attack, reply: Reply) -> list[str]:
    """What is wrong with a reply; nothing, mostly."""
    text = reply.text
    for echoed in (attack.target, attack.body):  # who sends it has it already
        text = text.replace(echoed, "") if len(echoed) > 3 else text
    defects = []
    if reply.status >= 500 and reply.text != BARE and not said_by_the_app(text):
        defects.append(f"HTTP {reply.status} to {attack.way} {_where(attack)}")
    if reply.failed and not reply.words:
        defects.append(f"an error without words from {attack.way} {_where(attack)}")
    if TRACEBACK.search(text):
        defects.append("a traceback")
    if found := INSIDE.search(text):
        defects.append(f"an internal name: {found[0]}")
    for what, hidden in secrets(space).items():
        if any(one in text for one in hidden):
            defects.append(what)
    if space.listener.reached:
        space.listener.reached = 0
        defects.append("a request of the Space to an address that a visitor named")
    return defects


def said_by_the_app(text: str) -> bool:
    """Whether an answer says what went wrong in words."""
    return '"error":"' in text.replace('": "', '":"')


def secrets(space: Space) -> dict[str, tuple[str, ...]]:
    """What nobody may be told, by what it is."""
    names = (VICTIM, ATTACKER)
    tokens = [space.z.visitor(name).token for name in names] + [space.z.header(VICTIM)["x-ip-token"]]
    return {
        "a token": (*tokens, f"hf_{OURS}"),
        "a secret of the Space": (OURS, "root:x:0:0"),
        "another visitor's text": (THEIRS,),
        "a path of the machine": (str(ROOT), sys.prefix, sysconfig.get_path("stdlib"), str(space.temp.parent / "chat")),
    }


def _where(attack: Attack) -> str:
    return attack.target.partition("?")[0].partition("=")[0][:60]
