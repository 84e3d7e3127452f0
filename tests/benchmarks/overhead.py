"""GPU seconds that a ZeroChat call holds, against the same `model.generate` in a function decorated by hand.

Both apps run side by side on a local ZeroGPU with a card for each, and are asked in turn: the same model, prompt,
number of tokens and dtype. What counts is the time from the scheduler's grant to the release, of warm calls only.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gradio_client import Client
from gradio_client.exceptions import AppError
from parts import models, report

from zerokit.emulator import App, Call, ZeroGPU

APPS = Path(__file__).parent / "apps"
QUESTION = "Tell me about the sea, the wind and the lighthouse, and take your time. " * 4
WARM_UP_TOKENS = (4, 16, 64)
"""Answers asked for first: on a slow machine the very first reservation, which supposes a real card, may be short."""


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    new_tokens: int
    temperature: float
    pairs: int


CASES = (
    Case("long, greedy", 160, 0.0, 20),
    Case("long, sampled", 160, 0.7, 20),
    Case("short, greedy", 12, 0.0, 40),
)


class Asked:
    """One app, asked through its API."""

    def __init__(self, z: ZeroGPU, file: str, env: dict[str, str]) -> None:
        self._z = z
        self.app: App = z.run(APPS / file, env=env)
        self._client = Client(self.app.url, verbose=False)

    def call(self, case: Case) -> tuple[Call, str] | None:
        """Ask once; the settled call, and the answer. None: it was cut at the end of its reservation."""
        self._client.reset_session()  # Gradio's own chat keeps a conversation for each session
        before = len(self._z.calls)
        try:
            answer: Any = self._client.predict(*self._arguments(case), api_name="/chat")
        except AppError:
            answer = None
        give_up_at = time.monotonic() + 5
        while len(self._z.calls) == before and time.monotonic() < give_up_at:
            time.sleep(0.005)
        if isinstance(answer, dict):
            answer = answer["text"] if answer["ended"] == "length" else None
        return None if answer is None else (self._z.calls[-1], answer)

    def _arguments(self, case: Case) -> list[Any]:
        before: list[Any] = [[]] if "zerokit" in self.app.process.args[3] else []
        return [QUESTION, *before, "", case.new_tokens, case.temperature, 0.95, 50, 1.0]


def main() -> None:
    options = report.arguments(__doc__)
    report.machine()
    with tempfile.TemporaryDirectory() as folder, ZeroGPU(visitor="pro", gpus=2) as z:
        model = models.make(Path(folder) / "model", hidden=512, layers=8)
        # One thread computes, as one card would: the rest of the call has a processor to itself, as it has there.
        env = {
            "BENCHMARK_MODEL": str(model),
            "BENCHMARK_DTYPE": "float32",
            "ZEROKIT_HOME": f"{folder}/home",
            "OMP_NUM_THREADS": "1",
        }
        ours, theirs = Asked(z, "zerokit_chat.py", env), Asked(z, "handwritten_chat.py", env)
        rows = [_row(case, ours, theirs, quick=options.quick) for case in CASES]
    report.table(
        "GPU seconds held by a warm call: median (middle half)",
        ["answer", "tokens", "pairs", "by hand, s", "ZeroChat, s", "ratio, of pairs", "more, ms"],
        rows,
    )


def _row(case: Case, ours: Asked, theirs: Asked, *, quick: bool) -> list[str]:
    pairs: list[tuple[float, float]] = []
    count = 4 if quick else case.pairs
    for tokens in WARM_UP_TOKENS:
        for asked in (ours, theirs):
            asked.call(replace(case, new_tokens=min(tokens, case.new_tokens)))
    for number in range(count):
        # Whoever goes second finds the machine as the first one left it: so they take turns in going first.
        first, second = (ours, theirs) if number % 2 else (theirs, ours)
        calls = {asked: asked.call(case) for asked in (first, second)}
        if calls[ours] is None or calls[theirs] is None:
            continue
        (mine, said), (other, said_too) = calls[ours], calls[theirs]
        if case.temperature == 0 and said.strip() != said_too.strip():
            raise SystemExit(f"The two did not make the same tokens:\n{said[:200]!r}\n{said_too[:200]!r}")
        if not mine.cold and not other.cold:
            pairs.append((mine.used_s, other.used_s))
    if len(pairs) < count / 2:
        raise SystemExit("Most calls were cold or cut: the machine is too busy to measure on.")
    mine_s, other_s = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return [
        case.name,
        str(case.new_tokens),
        str(len(pairs)),
        report.spread(other_s),
        report.spread(mine_s),
        report.spread([a / b for a, b in pairs]),
        f"{1000 * statistics.median(a - b for a, b in pairs):.0f}",
    ]


if __name__ == "__main__":
    main()
