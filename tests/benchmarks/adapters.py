"""What adapters cost: tokens and pictures with and without them, and the switch from one to another.

All ways are gone in this process, in turn, at the size of the embedded models: the engines (base, one adapter merged,
two that can be switched) beside the same by hand, with peft and diffusers. Where two ways must make the same, what they
make is compared. A switch is all that a call does besides its work: have its adapters active, and none afterwards.
"""

from __future__ import annotations

import statistics
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as image_logging
from parts import adapters, report, ways
from peft import PeftModel
from PIL import Image, ImageChops
from transformers.utils import logging

from zerokit import embedded
from zerokit.adapters import AdapterSpec
from zerokit.control import Control
from zerokit.engines.image import ImageEngine
from zerokit.engines.text import TextEngine
from zerokit.requests import AdapterChoice, ChatRequest, ImageRequest, Message

QUESTION = "Tell me about the sea, and take your time."
TOKENS = 64
PROMPT = "a red circle on a white background"
STEPS = 10
SWITCHES = 200
MANY = 16
"""Adapters that are loaded in the second row of switches; as many travel with a base at most."""


def main() -> None:
    options = report.arguments(__doc__, "chat", "images")
    report.machine()
    torch.set_num_threads(1)
    for talker in (logging, image_logging):
        talker.disable_progress_bar()
        talker.set_verbosity_error()
    warnings.simplefilter("ignore")
    rounds, switches = (2, 10) if options.quick else (20, SWITCHES)
    with tempfile.TemporaryDirectory() as folder:
        if "chat" in options.only:
            _chats(Path(folder), rounds, switches)
        if "images" in options.only:
            _images(Path(folder), rounds, switches)


# Chats.


class Chats:
    """The engines, and the same by hand.

    Args:
        folder: for models and adapters that are made.
    """

    def __init__(self, folder: Path) -> None:
        self.base = adapters.endless_chat(folder / "chat")
        self.files = [str(embedded.path(name)) for name in ("chat-pirate", "chat-terse")]
        specs = [AdapterSpec(file, name=name) for file, name in zip(self.files, "ab", strict=True)]
        settings: dict[str, Any] = {"dtype": "float32", "any_base": True}
        self.plain = TextEngine(self.base, **settings)
        self.merged = TextEngine(self.base, merge=specs[0], **settings)
        self.switchable = TextEngine(self.base, adapters=specs, **settings)
        others = adapters.other_chat_adapters(folder, MANY - 2)
        self.crowded = TextEngine(self.base, adapters=[*specs, *others], **settings)
        self.by_hand = PeftModel.from_pretrained(
            adapters.chat_by_hand(self.base), self.files[0], adapter_name="a"
        ).eval()
        self.by_hand.load_adapter(self.files[1], "b")
        self.bare = adapters.chat_by_hand(self.base)

    def ask(self, engine: TextEngine, *names: str) -> str:
        reply = engine.generate(self._prepared(engine, names), Control())
        if reply.new_tokens != TOKENS:
            raise SystemExit(f"An answer had {reply.new_tokens} tokens instead of {TOKENS}.")
        return reply.text

    def generate(self, model: Any) -> str:
        """As `ask`, without an engine."""
        tokenizer = self.plain.tokenizer
        ids = torch.tensor([self._prepared(self.plain, ()).ids])
        with torch.inference_mode():
            made = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS, do_sample=False
            )
        return str(tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True))

    def set_by_hand(self) -> str:
        self.by_hand.set_adapter("a")
        return self.generate(self.by_hand)

    def load_by_hand(self) -> str:
        """Read from the disk in the call, as apps do that know no better, and taken out again."""
        adapted = PeftModel.from_pretrained(self.bare, self.files[0]).eval()
        made = self.generate(adapted)
        adapted.unload()
        return made

    def reload(self) -> str:
        """Base and adapter in the call, as the Hub's documentation of LoRA demos has it."""
        return self.generate(PeftModel.from_pretrained(adapters.chat_by_hand(self.base), self.files[0]).eval())

    def switch(self, engine: TextEngine, *names: str) -> Callable[[], None]:
        """All that a call does for its adapters, and no token."""
        chat = self._prepared(engine, names)

        def once() -> None:
            with engine._adapters.turn([chat], Control()) as turn, turn.active([chat]):  # type: ignore[union-attr]
                pass

        return once

    def _prepared(self, engine: TextEngine, names: Sequence[str]) -> Any:
        chosen = tuple(AdapterChoice(name) for name in names)
        message = (Message("user", QUESTION),)
        return engine.prepare(ChatRequest(message, max_new_tokens=TOKENS, temperature=0, adapters=chosen))


def _chats(folder: Path, rounds: int, switches: int) -> None:
    chats = Chats(folder)
    _must_be_the_same(chats.ask(chats.switchable, "a"), chats.set_by_hand(), chats.load_by_hand(), chats.reload())
    _must_be_the_same(chats.ask(chats.switchable), chats.ask(chats.plain), chats.generate(chats.bare))
    chat_ways: dict[str, Callable[[], Any]] = {
        "base": lambda: chats.ask(chats.plain),
        "one merged": lambda: chats.ask(chats.merged),
        "two loaded, none active": lambda: chats.ask(chats.switchable),
        "one active": lambda: chats.ask(chats.switchable, "a"),
        "two active at once": lambda: chats.ask(chats.switchable, "a", "b"),
        "by hand: base, transformers": lambda: chats.generate(chats.bare),
        "by hand: one active, peft": chats.set_by_hand,
        "by hand: adapter loaded in the call": chats.load_by_hand,
        "by hand: base and adapter loaded in the call": chats.reload,
    }
    _print_ways(f"Chats of {TOKENS} tokens, against the base", "tokens/s", chat_ways, rounds, lambda s: TOKENS / s)
    _print_switches(
        "A chat's switch, against peft's set_adapter",
        {
            "by hand: peft, set_adapter": lambda: chats.by_hand.set_adapter("a"),
            "by hand: peft, set_adapter of two": lambda: chats.by_hand.base_model.set_adapter(["a", "b"]),
            "none": chats.switch(chats.switchable),
            "one": chats.switch(chats.switchable, "a"),
            "two at once": chats.switch(chats.switchable, "a", "b"),
            f"one, {MANY} loaded": chats.switch(chats.crowded, "a"),
        },
        switches,
    )


# Pictures.


class Images:
    """The engines, and the same by hand.

    Args:
        folder: for adapters that are made.
    """

    def __init__(self, folder: Path) -> None:
        self.files = adapters.image_adapters(folder)
        specs = [AdapterSpec(file, name=name) for file, name in zip(self.files, "ab", strict=True)]
        settings: dict[str, Any] = {"dtype": "float32", "any_base": True}
        self.plain = ImageEngine("embedded", **settings)
        self.merged = ImageEngine("embedded", merge=specs[0], **settings)
        self.switchable = ImageEngine("embedded", adapters=specs, **settings)
        self.by_hand = adapters.pipeline_by_hand()
        for file, name in zip(self.files, "ab", strict=True):
            self.by_hand.load_lora_weights(file, adapter_name=name)
        self.bare = adapters.pipeline_by_hand()

    def paint(self, engine: ImageEngine, *names: str) -> Image.Image:
        reply = engine.generate(self._prepared(engine, names), Control())
        return reply.pictures[0].image

    def generate(self, pipe: Any) -> Image.Image:
        """As `paint`, without an engine."""
        asked = self._prepared(self.plain, ()).request
        made: Image.Image = pipe(
            asked.prompt,
            height=asked.height,
            width=asked.width,
            num_inference_steps=STEPS,
            guidance_scale=asked.guidance,
            generator=[torch.Generator("cpu").manual_seed(asked.seed)],
        ).images[0]
        return made

    def set_by_hand(self) -> Image.Image:
        self.by_hand.set_adapters("a", 1.0)
        return self.generate(self.by_hand)

    def load_by_hand(self) -> Image.Image:
        """Read from the disk in the call, as most apps do, and taken out again."""
        self.bare.load_lora_weights(self.files[0])
        made = self.generate(self.bare)
        self.bare.unload_lora_weights()
        return made

    def reload(self) -> Image.Image:
        """Base and adapter in the call."""
        pipe = adapters.pipeline_by_hand()
        pipe.load_lora_weights(self.files[0])
        return self.generate(pipe)

    def switch(self, engine: ImageEngine, *names: str) -> Callable[[], None]:
        """All that a call does for its adapters, and no step."""
        work = self._prepared(engine, names)

        def once() -> None:
            with engine._adapters.loaded([work]) as internal, engine._adapters.active(work, internal):
                pass

        return once

    def _prepared(self, engine: ImageEngine, names: Sequence[str]) -> Any:
        chosen = tuple(AdapterChoice(name) for name in names)
        return engine.prepare(ImageRequest(PROMPT, steps=STEPS, seed=7, adapters=chosen))


def _images(folder: Path, rounds: int, switches: int) -> None:
    images = Images(folder)
    _must_be_the_same(
        images.paint(images.switchable, "a"), images.set_by_hand(), images.load_by_hand(), images.reload()
    )
    _must_be_the_same(images.paint(images.switchable), images.paint(images.plain), images.generate(images.bare))
    image_ways: dict[str, Callable[[], Any]] = {
        "base": lambda: images.paint(images.plain),
        "one merged": lambda: images.paint(images.merged),
        "two loaded, none active": lambda: images.paint(images.switchable),
        "one active": lambda: images.paint(images.switchable, "a"),
        "two active at once": lambda: images.paint(images.switchable, "a", "b"),
        "by hand: base, diffusers": lambda: images.generate(images.bare),
        "by hand: one active, set_adapters": images.set_by_hand,
        "by hand: load_lora_weights in the call": images.load_by_hand,
        "by hand: base and adapter loaded in the call": images.reload,
    }
    _print_ways(f"Pictures of {STEPS} steps, against the base", "s/picture", image_ways, rounds, lambda s: s)
    _print_switches(
        "An image's switch, against diffusers' set_adapters",
        {
            "by hand: diffusers, set_adapters": lambda: images.by_hand.set_adapters("a", 1.0),
            "by hand: diffusers, set_adapters of two": lambda: images.by_hand.set_adapters(["a", "b"], [1.0, 1.0]),
            "none": images.switch(images.switchable),
            "one": images.switch(images.switchable, "a"),
            "two at once": images.switch(images.switchable, "a", "b"),
        },
        switches,
    )


# What is printed.


def _print_ways(title: str, unit: str, of: ways.Ways, rounds: int, rate: Callable[[float], float]) -> None:
    """The first of the ways is what the others are compared with."""
    took = ways.in_turn(of, rounds)
    first = next(iter(took.values()))
    report.table(
        f"{title}: median (middle half)",
        ["way", unit, *ways.COLUMNS],
        [
            [name, report.spread([rate(one.wall_s) for one in own]), *ways.ratios(own, first)]
            for name, own in took.items()
        ],
    )


def _print_switches(title: str, of: ways.Ways, rounds: int) -> None:
    took = ways.in_turn(of, rounds)
    first = next(iter(took.values()))
    report.table(
        f"{title}: median (middle half)",
        ["adapters", "ms", "CPU ms", *ways.COLUMNS],
        [
            [
                name,
                report.spread([1e3 * one.wall_s for one in own]),
                f"{1e3 * statistics.median(one.cpu_s for one in own):.3f}",
                *ways.ratios(own, first),
            ]
            for name, own in took.items()
        ],
    )


def _must_be_the_same(first: Any, *others: Any) -> None:
    for other in others:
        if isinstance(first, Image.Image):
            same = first.size == other.size and ImageChops.difference(first, other.convert("RGB")).getbbox() is None
        else:
            same = first.strip() == other.strip()
        if not same:
            raise SystemExit(f"Two ways did not make the same: {first!r} and {other!r}")


if __name__ == "__main__":
    main()
