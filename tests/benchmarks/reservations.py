"""What is reserved against what is used, over a mixed run of 100 calls of an app from its first one on.

The calls are real ones on a local ZeroGPU with three cards and three visitors at a time; the models stand in for one of
8 GB that chats (`apps/stand_in_chat.py`) and one of 7 GB that makes pictures (`apps/stand_in_image.py`), and the visits
are made up (`parts/visits.py`, `parts/image_visits.py`). Beside it, what a duration that never changes would have
reserved for the same calls. One run of 100 tells little of the tails, so the same estimator is then taken through many
such runs on paper, one call after the other.
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
from parts import image_models, image_visits, models, on_paper, report, visits

from zerokit.emulator import App, Call, ZeroGPU
from zerokit.quota.platform import reserved_s

HERE = Path(__file__).parent
CARDS = 3
SEED = 1
LULL_S = 7.0
PATIENCE_S = 600.0
"""For the app's start."""
SETTLED_S = 10.0
FIRST = 20
STATIC_S = (60, 120)
LEARNING = ((1, 1), (2, 5), (6, 20), (21, 100))
CHANGING = ((21, 50), (51, 55), (56, 70), (71, 100))


@dataclass(frozen=True)
class Answer:
    """One visit that is over."""

    visit: Any
    ended: str
    call: Call

    @property
    def ratio(self) -> float:
        return self.call.reserved_s / self.call.used_s


@dataclass(frozen=True)
class Kind:
    """What is asked for, and of which app."""

    block: str
    app: str
    make: Callable[[Path], Path]
    """Makes the model in a folder."""
    visits: Callable[[int, int], Any]
    """So many, from a seed."""
    ask: Callable[[Client, Any], str]
    """Make one visit; how it ended."""
    groups: Sequence[tuple[str, Callable[[Answer], bool]]]
    paper: Sequence[on_paper.Case]
    changes: Sequence[on_paper.Changed]


def main() -> None:
    options = report.arguments(__doc__, *KINDS, flags={"paper": "leave out the real calls"})
    report.machine()
    for name in options.only:
        if not options.paper:
            _simulate(KINDS[name], 12 if options.quick else 100)
        _print_on_paper(KINDS[name], 2 if options.quick else 20)
        _print_learning(KINDS[name], 2 if options.quick else 20)


def _simulate(kind: Kind, count: int) -> None:
    with tempfile.TemporaryDirectory() as folder, ZeroGPU(gpus=CARDS) as z:
        env = {
            "BENCHMARK_MODEL": str(kind.make(Path(folder) / "model")),
            "GRADIO_TEMP_DIR": f"{folder}/gradio",
            "ZEROKIT_HOME": f"{folder}/home",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")])),
        }
        app = z.run(HERE / "apps" / kind.app, env=env, timeout_s=PATIENCE_S)
        began_at = time.monotonic()
        answers = _ask(z, app, kind, list(kind.visits(count, SEED)))
        seconds = time.monotonic() - began_at
    cold = sum(bool(answer.call.cold) for answer in answers)
    report.say(f"{kind.block}: {len(answers)} calls in {seconds:.0f} s on {CARDS} cards, {cold} of them cold")
    _print(kind, answers, min(FIRST, count // 2))


def _ask(z: ZeroGPU, app: App, kind: Kind, planned: Sequence[Any]) -> list[Answer]:
    """Let the visitors come, as many at a time as there are cards; after a lull all workers are new."""
    visitors = [_Visitor(z, app, kind, f"pro:{number}") for number in range(CARDS)]
    starts = [visit.number for visit in planned if visit.after_lull]
    for start, end in zip(starts, [*starts[1:], len(planned)], strict=True):
        if start:
            time.sleep(LULL_S)
            for pid in z.workers:
                os.kill(pid, signal.SIGKILL)
        waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for visit in planned[start:end]:
            waiting.put(visit)
        threads = [threading.Thread(target=visitor.ask_all, args=(waiting,)) for visitor in visitors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    answers = [answer for visitor in visitors for answer in visitor.answers]
    return sorted(answers, key=lambda answer: answer.call.n)


class _Visitor:
    """Asks for one thing after the other."""

    def __init__(self, z: ZeroGPU, app: App, kind: Kind, name: str) -> None:
        self._z, self._kind, self.name = z, kind, name
        self._client = Client(app.url, headers=z.header(name), verbose=False, download_files=False)
        self.answers: list[Answer] = []

    def ask_all(self, waiting: queue.SimpleQueue[Any]) -> None:
        while True:
            try:
                visit = waiting.get_nowait()
            except queue.Empty:
                return
            time.sleep(visit.pause_s)
            before = self._calls()
            try:
                ended = self._kind.ask(self._client, visit)
            except Exception as exc:  # noqa: BLE001  whatever ended it, the table says so
                ended = f"{type(exc).__name__}: {exc}"
                report.say(f"Visit {visit.number}, {visit}: {ended}")
            # A visitor has one call at a time; the end of one is told to the page a little before the scheduler.
            give_up_at = time.monotonic() + SETTLED_S
            while len(calls := self._calls()) == len(before) and time.monotonic() < give_up_at:
                time.sleep(0.02)
            if len(calls) == len(before):
                report.say(f"Visit {visit.number} made no call.")
            else:
                self.answers.append(Answer(visit, ended, calls[-1]))

    def _calls(self) -> list[Call]:
        return [call for call in self._z.calls if call.visitor == self.name]


def _ask_chat(client: Client, visit: visits.Visit) -> str:
    earlier = "word " * (visit.earlier_tokens // 5)
    history = [{"role": "user", "content": earlier}, {"role": "assistant", "content": "Yes."}] if earlier else []
    answer: Any = client.predict(
        visit.question, history, f"{visit.natural_tokens:04}", visit.max_new_tokens, api_name="/chat"
    )
    return str(answer["ended"])


def _ask_images(client: Client, visit: image_visits.Visit) -> str:
    made: Any = client.predict(
        prompt=f"a picture for visitor {visit.number}",
        width=visit.width,
        height=visit.height,
        images=visit.images,
        steps=visit.steps,
        guidance=visit.guidance,
        api_name="/generate",
    )
    return str(made[1]["ended"])


KINDS = {
    "chat": Kind(
        block="ZeroChat",
        app="stand_in_chat.py",
        make=lambda folder: models.make(folder, hidden=64, layers=1),
        visits=visits.visits,
        ask=_ask_chat,
        groups=(
            ("examples", lambda answer: answer.visit.is_example),
            ("new questions", lambda answer: not answer.visit.is_example),
        ),
        paper=on_paper.CHATS,
        changes=on_paper.CHANGES["chat"],
    ),
    "images": Kind(
        block="ZeroDiffusion",
        app="stand_in_image.py",
        make=lambda folder: image_models.make(folder, width=32),
        visits=image_visits.visits,
        ask=_ask_images,
        groups=(
            ("one picture", lambda answer: answer.visit.images == 1),
            ("several", lambda answer: answer.visit.images > 1),
        ),
        paper=on_paper.PICTURES,
        changes=on_paper.CHANGES["images"],
    ),
}


def _print(kind: Kind, answers: Sequence[Answer], first: int) -> None:
    later = answers[first:]
    groups = [("all", answers), (f"first {first}", answers[:first]), (f"after {first}", later)]
    for name, belongs in (*kind.groups, ("cold", lambda answer: bool(answer.call.cold))):
        groups.append((f"  {name}", [answer for answer in later if belongs(answer)]))
    static = [f"{seconds} s" for seconds in STATIC_S]
    report.table(
        "Reserved / used: median, 95th percentile",
        ["calls", "number", "used, s", kind.block, "cut", "killed", "failed", *static],
        [_row(name, chosen) for name, chosen in groups if chosen],
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


def _print_on_paper(kind: Kind, runs: int) -> None:
    rows = []
    for case in kind.paper:
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
        f"{kind.block} on paper, runs of {on_paper.CALLS} calls: reserved / used after {FIRST}",
        ["calls", "runs", "median (middle half of runs)", "95th percentile", "cut of 100", "at most"],
        rows,
    )


def _print_learning(kind: Kind, runs: int) -> None:
    """How the estimate gets better from call to call, and what becomes of it when everything changes."""
    rows = []
    for case, parts in ((kind.paper[0], LEARNING), *((changed, CHANGING) for changed in kind.changes)):
        traces = [on_paper.trace(case, seed) for seed in range(runs)]
        for start, end in parts:
            calls = [call for one in traces for call in one[start - 1 : end]]
            ratios = [call.ratio for call in calls]
            middle, high = (f"{report.quantile(ratios, share):.2f}" for share in (0.5, 0.95))
            numbers = f"{start}" if start == end else f"{start} to {end}"
            rows.append([case.name, numbers, middle, high, f"{100 * sum(c.cut for c in calls) / len(calls):.1f}"])
    report.table(
        f"{kind.block} on paper, {runs} runs: call by call, and where call 51 finds something else",
        ["calls", "numbers", "median", "95th percentile", "cut of 100"],
        rows,
    )


if __name__ == "__main__":
    main()
