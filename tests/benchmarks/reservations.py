"""What is reserved against what is used, over a mixed run of 100 chats from an app's first call on.

The calls are real ones on a local ZeroGPU with three cards and three visitors at a time; the model stands in for one of
8 GB (`apps/stand_in_chat.py`), with made-up questions and lengths of answers (`parts/visits.py`). Beside it, what a
duration that never changes would have reserved for the same calls. One run of 100 tells little of the tails, so the
same estimator is then taken through many such runs on paper, one call after the other.
"""

from __future__ import annotations

import os
import queue
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradio_client import Client
from parts import models, on_paper, report
from parts.visits import Visit, visits

from zerokit.emulator import App, Call, ZeroGPU
from zerokit.quota.platform import reserved_s

HERE = Path(__file__).parent
CARDS = 3
SEED = 1
LULL_S = 7.0
FIRST = 20
STATIC_S = (60, 120)


@dataclass(frozen=True)
class Answer:
    """One visit that is over."""

    visit: Visit
    ended: str
    call: Call

    @property
    def ratio(self) -> float:
        return self.call.reserved_s / self.call.used_s


def main() -> None:
    options = report.arguments(__doc__)
    report.machine()
    count = 12 if options.quick else 100
    with tempfile.TemporaryDirectory() as folder, ZeroGPU(gpus=CARDS) as z:
        model = models.make(Path(folder) / "model", hidden=64, layers=1)
        env = {"BENCHMARK_MODEL": str(model), "ZEROKIT_HOME": f"{folder}/home", "PYTHONPATH": str(HERE)}
        app = z.run(HERE / "apps" / "stand_in_chat.py", env=env)
        began_at = time.monotonic()
        answers = _ask(z, app, list(visits(count, SEED)))
        seconds = time.monotonic() - began_at
    cold = sum(bool(answer.call.cold) for answer in answers)
    report.say(f"{len(answers)} calls in {seconds:.0f} s on {CARDS} cards, {cold} of them cold")
    _print(answers, min(FIRST, count // 2))
    _print_on_paper(2 if options.quick else 20)


def _ask(z: ZeroGPU, app: App, planned: Sequence[Visit]) -> list[Answer]:
    """Let the visitors come, as many at a time as there are cards; after a lull all workers are new."""
    answers: list[Answer] = []
    visitors = [_Visitor(z, app, f"pro:{number}") for number in range(CARDS)]
    starts = [visit.number for visit in planned if visit.after_lull]
    for start, end in zip(starts, [*starts[1:], len(planned)], strict=True):
        if start:
            time.sleep(LULL_S)
            for pid in z.workers:
                os.kill(pid, signal.SIGKILL)
        waiting: queue.SimpleQueue[Visit] = queue.SimpleQueue()
        for visit in planned[start:end]:
            waiting.put(visit)
        threads = [threading.Thread(target=visitor.ask_all, args=(waiting,)) for visitor in visitors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for visitor in visitors:
        answers += visitor.answers()
    return sorted(answers, key=lambda answer: answer.call.n)


class _Visitor:
    """Asks one question after the other."""

    def __init__(self, z: ZeroGPU, app: App, name: str) -> None:
        self._z, self.name = z, name
        self._client = Client(app.url, headers=z.header(name), verbose=False)
        self._asked: list[tuple[Visit, str]] = []

    def ask_all(self, waiting: queue.SimpleQueue[Visit]) -> None:
        while True:
            try:
                visit = waiting.get_nowait()
            except queue.Empty:
                return
            time.sleep(visit.pause_s)
            self._asked.append((visit, self._ask(visit)))

    def answers(self) -> list[Answer]:
        """A visitor has one call at a time, so the emulator's calls are in the order of the questions."""
        calls = [call for call in self._z.calls if call.visitor == self.name]
        return [Answer(visit, ended, call) for (visit, ended), call in zip(self._asked, calls, strict=True)]

    def _ask(self, visit: Visit) -> str:
        earlier = "word " * (visit.earlier_tokens // 5)
        history = [{"role": "user", "content": earlier}, {"role": "assistant", "content": "Yes."}] if earlier else []
        try:
            answer: Any = self._client.predict(
                visit.question, history, f"{visit.natural_tokens:04}", visit.max_new_tokens, api_name="/chat"
            )
        except Exception as exc:  # noqa: BLE001  whatever ended it, the table says so
            return f"{type(exc).__name__}: {exc}"
        return str(answer["ended"])


def _print(answers: Sequence[Answer], first: int) -> None:
    groups: list[tuple[str, Callable[[int, Answer], bool]]] = [
        ("all", lambda n, a: True),
        (f"first {first}", lambda n, a: n < first),
        (f"after {first}", lambda n, a: n >= first),
        ("  examples", lambda n, a: n >= first and a.visit.is_example),
        ("  new questions", lambda n, a: n >= first and not a.visit.is_example),
        ("  cold", lambda n, a: n >= first and bool(a.call.cold)),
    ]
    rows = []
    for name, belongs in groups:
        chosen = [answer for n, answer in enumerate(answers) if belongs(n, answer)]
        if chosen:
            rows.append(_row(name, chosen))
    static = [f"{seconds} s" for seconds in STATIC_S]
    report.table(
        "Reserved / used: median, 95th percentile",
        ["calls", "number", "used, s", "ZeroChat", "cut", "killed", "failed", *static],
        rows,
    )


def _row(name: str, chosen: Sequence[Answer]) -> list[str]:
    used = [answer.call.used_s for answer in chosen]
    killed = sum(answer.call.outcome in ("killed", "lost") for answer in chosen)
    failed = sum(answer.ended not in ("complete", "length", "deadline") for answer in chosen)
    return [
        name,
        str(len(chosen)),
        f"{report.quantile(used, 0.5):.1f}",
        _two([answer.ratio for answer in chosen]),
        str(sum(answer.ended == "deadline" for answer in chosen)),
        str(killed),
        str(failed - killed if failed > killed else 0),
        *(_two([reserved_s(declared) / seconds for seconds in used]) for declared in STATIC_S),
    ]


def _two(ratios: Sequence[float]) -> str:
    return f"{report.quantile(ratios, 0.5):.2f}, {report.quantile(ratios, 0.95):.1f}"


def _print_on_paper(runs: int) -> None:
    rows = []
    for case in on_paper.CASES:
        results = [on_paper.run(case, seed, first=FIRST) for seed in range(runs)]
        rows.append(
            [
                case.name,
                str(runs),
                report.spread([result.median for result in results], 2),
                f"{report.quantile([result.high for result in results], 0.5):.1f}",
                f"{sum(result.cuts for result in results) / runs:.1f}",
                str(max(result.cuts for result in results)),
            ]
        )
    report.table(
        f"On paper, runs of 100 calls: reserved / used after {FIRST}",
        ["calls", "runs", "median (middle half of runs)", "95th percentile", "cut of 100", "at most"],
        rows,
    )


if __name__ == "__main__":
    main()
