"""GPU seconds that a call of ZeroChat or ZeroDiffusion holds, against the same work in a function decorated by hand.

Two apps at a time run side by side on a local ZeroGPU with a card for each, and are asked in turn: the same model,
prompt, settings and dtype, and what they make is compared. What counts is the time from the scheduler's grant to the
release, of warm calls only. Beside it stand the seconds of the processor, which say the same on a machine that has
other work to do.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from parts import image_models, in_turn, models, report
from parts.in_turn import Asked, Held
from PIL import Image, ImageChops

from zerokit.emulator import ZeroGPU

QUESTION = "Tell me about the sea, the wind and the lighthouse, and take your time. " * 4
PROMPT = "a lighthouse at the sea in the evening, waves, clouds, oil on canvas"
WARM_UP_TOKENS = (4, 16, 64)
"""Answers asked for first: on a slow machine the very first reservation, which supposes a real card, may be short."""
WARM_UP_STEPS = (1, 4, 20)


@dataclass(frozen=True)
class Answer:
    """One row of the table of chats."""

    name: str
    new_tokens: int
    temperature: float
    pairs: int


@dataclass(frozen=True)
class Pictures:
    """One row of the table of pictures."""

    name: str
    images: int
    steps: int
    pairs: int


ANSWERS = (
    Answer("long, greedy", 160, 0.0, 20),
    Answer("long, sampled", 160, 0.7, 20),
    Answer("short, greedy", 12, 0.0, 40),
)
PICTURES = (
    Pictures("one, many steps", 1, 20, 20),
    Pictures("one, few steps", 1, 4, 30),
    Pictures("four in a batch", 4, 6, 15),
)
FOUR = Pictures("four pictures", 4, 10, 6)


def main() -> None:
    options = report.arguments(__doc__, "chat", "images")
    report.machine()
    if "chat" in options.only:
        _chats(quick=options.quick)
    if "images" in options.only:
        _images(quick=options.quick)


def _env(folder: str, model: Path) -> dict[str, str]:
    return {
        "BENCHMARK_MODEL": str(model),
        "BENCHMARK_DTYPE": "float32",
        "BENCHMARK_DOWNLOADS": f"{folder}/downloads",
        "GRADIO_TEMP_DIR": f"{folder}/gradio",
        "ZEROKIT_HOME": f"{folder}/home",
        # One thread computes, as one card would: the rest of the call has a processor to itself, as it has there.
        "OMP_NUM_THREADS": "1",
    }


def _chats(*, quick: bool) -> None:
    with tempfile.TemporaryDirectory() as folder, ZeroGPU(visitor="pro", gpus=2) as z:
        env = _env(folder, models.make(Path(folder) / "model", hidden=512, layers=8))
        ours = Asked(z, "zerokit_chat.py", "/chat", env)
        theirs = Asked(z, "handwritten_chat.py", "/chat", env)
        rows = [_chat_row(case, ours, theirs, 4 if quick else case.pairs) for case in ANSWERS]
    report.table(
        "Chats, GPU seconds held by a warm call: median (middle half)", ["answer", "tokens", *in_turn.COLUMNS], rows
    )


def _chat_row(case: Answer, ours: Asked, theirs: Asked, pairs: int) -> list[str]:
    def ask_ours(_: int, tokens: int = case.new_tokens) -> Held | None:
        held = ours.call(QUESTION, [], "", tokens, case.temperature, 0.95, 50, 1.0)
        if held is None or held.made["ended"] != "length":
            return None
        return replace(held, made=held.made["text"])

    def ask_theirs(_: int, tokens: int = case.new_tokens) -> Held | None:
        return theirs.call(QUESTION, "", tokens, case.temperature, 0.95, 50, 1.0)

    def same(mine: str, other: str) -> str | None:
        if case.temperature or mine.strip() == other.strip():
            return None
        return f"{mine[:200]!r} and {other[:200]!r}"

    for tokens in WARM_UP_TOKENS:
        ask_ours(0, min(tokens, case.new_tokens))
        ask_theirs(0, min(tokens, case.new_tokens))
    return [case.name, str(case.new_tokens), *in_turn.row(pairs, ask_ours, ask_theirs, same)]


def _images(*, quick: bool) -> None:
    with tempfile.TemporaryDirectory() as folder, ZeroGPU(visitor="pro", gpus=2) as z:
        env = _env(folder, image_models.make(Path(folder) / "model", width=32))
        ours = Asked(z, "zerokit_image.py", "/generate", env)
        theirs = Asked(z, "handwritten_image.py", "/generate", env)
        rows = [_image_row(case, ours, theirs, 2 if quick else case.pairs, quick=quick) for case in PICTURES]
        fours = _four_rows(ours, 1 if quick else FOUR.pairs)
    report.table(
        "Pictures, GPU seconds held by a warm call: median (middle half)",
        ["pictures", "images", "steps", *in_turn.COLUMNS],
        rows,
    )
    report.table(
        f"ZeroDiffusion, four pictures of {FOUR.steps} steps: median (middle half)",
        ["way", "rounds", "GPU seconds", "CPU seconds", "reserved, s", "runs of quota"],
        fours,
    )


def _image_row(case: Pictures, ours: Asked, theirs: Asked, pairs: int, *, quick: bool) -> list[str]:
    def ask_ours(number: int, steps: int = case.steps) -> Held | None:
        return _pictures(ours, case.images, steps, 100 * number)

    def ask_theirs(number: int, steps: int = case.steps) -> Held | None:
        held = theirs.call(**_asked(case.images, steps, 100 * number))
        return held and replace(held, made=[file["image"] for file in held.made])

    for steps in WARM_UP_STEPS[: 2 if quick else None]:
        ask_ours(0, min(steps, case.steps))
        ask_theirs(0, min(steps, case.steps))
    return [case.name, str(case.images), str(case.steps), *in_turn.row(pairs, ask_ours, ask_theirs, _difference)]


def _four_rows(ours: Asked, rounds: int) -> list[list[str]]:
    """Four pictures in one call, and the same four in a call for each."""
    ways: dict[str, list[list[Held]]] = {"one call": [], "four calls": []}
    for number in range(rounds + 2):  # the first two do not count: they teach what to reserve
        for way in list(ways) if number % 2 else list(reversed(ways)):
            images = FOUR.images if way == "one call" else 1
            seeds = range(100 * number, 100 * number + FOUR.images, images)
            held = [_pictures(ours, images, FOUR.steps, seed) for seed in seeds]
            whole = [call for call in held if call is not None and not call.call.cold]
            if number > 1 and len(whole) == len(seeds):
                ways[way].append(whole)
    for way, found in ways.items():
        if not found:
            report.say(f"Four pictures in {way}: each round had a call that was cold, cut or refused.")
    return [
        [
            way,
            str(len(found)),
            report.spread([sum(held.call.used_s for held in calls) for calls in found]),
            report.spread([sum(held.cpu_s for held in calls) for calls in found]),
            report.spread([float(sum(held.call.reserved_s for held in calls)) for calls in found], 1),
            str(len(found[0])),
        ]
        for way, found in ways.items()
        if found
    ]


def _pictures(ours: Asked, images: int, steps: int, seed: int) -> Held | None:
    """The files of pictures by ZeroDiffusion; None where they are not whole."""
    held = ours.call(**_asked(images, steps, seed))
    if held is None or held.made[1]["ended"] != "complete" or len(held.made[0]) != images:
        return None
    return replace(held, made=[file["image"] for file in held.made[0]])


def _asked(images: int, steps: int, seed: int) -> dict[str, Any]:
    side = image_models.SIDE
    return {
        "prompt": PROMPT,
        "negative_prompt": "blurred",
        "width": side,
        "height": side,
        "images": images,
        "steps": steps,
        "guidance": 7.5,
        "seed": seed,
    }


def _difference(mine: Sequence[str], other: Sequence[str]) -> str | None:
    """Where two rows of pictures are not the same, pixel by pixel."""
    for number, files in enumerate(zip(mine, other, strict=True)):
        one, two = (Image.open(file).convert("RGB") for file in files)
        if one.size != two.size:
            return f"picture {number} is {one.size} and {two.size}"
        if ImageChops.difference(one, two).getbbox() is not None:
            most = max(high for _, high in ImageChops.difference(one, two).getextrema())
            return f"picture {number} differs by up to {most} of 255"
    return None


if __name__ == "__main__":
    main()
