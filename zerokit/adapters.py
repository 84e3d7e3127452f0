"""`AdapterSpec`: an adapter as a Space's author names it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .errors import UsageError
from .requests import MAX_WEIGHT

MAX_NAME_CHARACTERS = 60


@dataclass(frozen=True)
class AdapterSpec:
    """A LoRA adapter, for a chat or an image model.

    Args:
        source: a repository on the Hub, a folder, a .safetensors file, or "embedded:NAME" for one that comes with
            ZeroKit.
        name: for people and programs; None: the last part of the source.
        weight_name: the file to take where the source has several.
        trigger: words that make it act; they are added to the prompt.
        trigger_at: where they go.
        weight: how strongly it acts unless a request says something else, -4 to 4.
        picture: a path of a picture for the gallery; None: its initials.
        examples: prompts that show what it does.
        revision: branch, tag or commit of the repository.

    Raises:
        UsageError: a field is of the wrong type or out of range.
    """

    source: str | Path
    name: str | None = None
    weight_name: str | None = None
    trigger: str = ""
    trigger_at: Literal["start", "end"] = "start"
    weight: float = 1.0
    picture: str | Path | None = None
    examples: tuple[str, ...] = ()
    revision: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.source, str | Path) or not str(self.source).strip():
            raise UsageError(f"An adapter is a repository's name, a folder or a file, not {str(self.source)[:60]!r}.")
        if self.trigger_at not in ("start", "end"):
            raise UsageError(f'Trigger words go to the "start" or the "end", not to {str(self.trigger_at)[:20]!r}.')
        if isinstance(self.examples, list):
            object.__setattr__(self, "examples", tuple(self.examples))
        if not all(isinstance(text, str) for text in (self.trigger, *self.examples)):
            raise UsageError("Trigger words and examples are texts.")
        if isinstance(self.weight, bool) or not isinstance(self.weight, int | float):
            raise UsageError(f"An adapter's weight is a number, not {str(self.weight)[:40]!r}.")
        if not -MAX_WEIGHT <= self.weight <= MAX_WEIGHT:
            raise UsageError(f"An adapter's weight is from {-MAX_WEIGHT:g} to {MAX_WEIGHT:g}, not {self.weight:g}.")
        if len(self.shown) > MAX_NAME_CHARACTERS or not self.shown.isprintable():
            raise UsageError(f"An adapter's name has at most {MAX_NAME_CHARACTERS} printable characters.")

    @property
    def shown(self) -> str:
        """Its name."""
        if self.name:
            return self.name
        return str(self.source).rstrip("/").replace(":", "/").rpartition("/")[2].removesuffix(".safetensors")[-60:]

    def prompted(self, prompt: str) -> str:
        """The prompt with the trigger words in it, once."""
        if not self.trigger or self.trigger.lower() in prompt.lower():
            return prompt
        return f"{self.trigger} {prompt}" if self.trigger_at == "start" else f"{prompt} {self.trigger}"

    @classmethod
    def of(cls, given: Any) -> AdapterSpec:
        """A spec as it is, or one of a source alone."""
        return given if isinstance(given, AdapterSpec) else cls(given)
