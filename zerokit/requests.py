"""What is asked of a GPU call and what comes back: frozen, picklable, checked before a GPU is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from .errors import RequestError

if TYPE_CHECKING:
    from PIL.Image import Image

Role = Literal["system", "user", "assistant"]
Ended = Literal["complete", "length", "deadline", "stopped", "interrupted"]
"""How an answer ended: by itself, at max_new_tokens, at the deadline, by Stop, or because the call died."""

MAX_PROMPT_CHARACTERS = 100_000
MAX_MESSAGES = 1_000
MAX_NEW_TOKENS = 32_768
MAX_SEED = 2**31 - 1
MIN_SIDE, MAX_SIDE = 16, 8_192
MAX_IMAGES = 16
MAX_STEPS = 200
MAX_GUIDANCE = 30.0
MAX_ADAPTERS = 8
MAX_WEIGHT = 4.0
ImageMode = Literal["text", "image", "inpaint"]


def check_number(name: str, value: Any, low: float, high: float, *, whole: bool = False) -> None:
    """Raise RequestError unless `value` is a number (whole, if asked) from `low` to `high`."""
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or value != value or value in (math.inf, -math.inf):
        raise RequestError(f"{name} must be a {'whole ' if whole else ''}number, not {str(value)[:40]!r}.")
    if not low <= value <= high:
        raise RequestError(f"{name} is {_said(value)}, and must be from {_said(low)} to {_said(high)}.")


def check_text(name: str, text: Any) -> None:
    """Raise RequestError unless `text` is one that a model can read."""
    if not isinstance(text, str):
        raise RequestError(f"{name} is a text.")
    if not _is_writable(text):
        raise RequestError(f"{name} has half a character in it (a lone surrogate), which no model can read.")
    if len(text) > MAX_PROMPT_CHARACTERS:
        raise RequestError(f"{name} has {len(text):,} characters, and at most {MAX_PROMPT_CHARACTERS:,} can be read.")


def _said(value: float) -> str:
    if abs(value) >= 1e12:
        return "far too large" if value > 0 else "far too small"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _is_writable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class AdapterChoice:
    """An adapter that shall be active in a call.

    Args:
        name: one of the engine's adapters.
        weight: how strongly it acts, -4 to 4; 0 is not at all, 1 as it was trained.

    Raises:
        RequestError: the name is no text, or the weight out of range.
    """

    name: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_text("An adapter's name", self.name)
        if not self.name.strip():
            raise RequestError("An adapter's name is empty.")
        check_number(f"The weight of {self.name[:60]!r}", self.weight, -MAX_WEIGHT, MAX_WEIGHT)


def check_adapters(adapters: Any) -> None:
    """Raise RequestError unless `adapters` are choices that can be active together."""
    if not isinstance(adapters, tuple) or not all(isinstance(choice, AdapterChoice) for choice in adapters):
        raise RequestError("Adapters are a list of choices, each with a name and a weight.")
    if len(adapters) > MAX_ADAPTERS:
        raise RequestError(f"{len(adapters)} adapters were chosen, and at most {MAX_ADAPTERS} work together.")
    names = [choice.name for choice in adapters]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise RequestError(f"The adapter {twice[:60]!r} was chosen twice.")


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str

    def __post_init__(self) -> None:
        if self.role not in ("system", "user", "assistant"):
            raise RequestError(f"A message is by system, user or assistant, not by {str(self.role)[:40]!r}.")
        check_text("The message", self.content)


@dataclass(frozen=True)
class ChatRequest:
    """One question to a chat model, with the conversation before it.

    Args:
        messages: oldest first, kept as a tuple; the last is the user's, or with `go_on` the assistant's that is to be
            continued.
        max_new_tokens: the most tokens the answer may have, 1 to 32,768.
        temperature: 0 (always the likeliest token) to 2.
        top_p: 0 < top_p <= 1, the probability mass that is sampled from.
        top_k: how many of the likeliest tokens are sampled from, 0 (all) to 1,000.
        repetition_penalty: 1 (none) to 2.
        seed: 0 to 2**31 - 1 for the same answer again; None: another each time.
        go_on: continue the last message, which is the assistant's.
        adapters: active in this call and in no other; () for the base model alone.

    Raises:
        RequestError: anything is empty, of the wrong type or out of range.
    """

    messages: tuple[Message, ...]
    max_new_tokens: int = 512
    temperature: float = 0.7
    top_p: float = 0.95
    top_k: int = 50
    repetition_penalty: float = 1.0
    seed: int | None = None
    go_on: bool = False
    adapters: tuple[AdapterChoice, ...] = ()

    def __post_init__(self) -> None:
        for name in ("messages", "adapters"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        check_adapters(self.adapters)
        if not isinstance(self.go_on, bool):
            raise RequestError(f"Whether to go on is true or false, not {str(self.go_on)[:40]!r}.")
        self._check_messages()
        check_number("Max new tokens", self.max_new_tokens, 1, MAX_NEW_TOKENS, whole=True)
        check_number("Temperature", self.temperature, 0, 2)
        check_number("Top-p", self.top_p, 0.01, 1)
        check_number("Top-k", self.top_k, 0, 1000, whole=True)
        check_number("Repetition penalty", self.repetition_penalty, 1, 2)
        if self.seed is not None:
            check_number("Seed", self.seed, 0, MAX_SEED, whole=True)

    def _check_messages(self) -> None:
        if not isinstance(self.messages, tuple) or not all(isinstance(m, Message) for m in self.messages):
            raise RequestError("A conversation is a list of messages.")
        if not self.messages:
            raise RequestError("There is no message.")
        if len(self.messages) > MAX_MESSAGES:
            raise RequestError(
                f"The conversation has {len(self.messages):,} messages, and at most {MAX_MESSAGES:,} fit."
            )
        last = self.messages[-1]
        if last.role != ("assistant" if self.go_on else "user"):
            raise RequestError("There is no answer to continue." if self.go_on else "There is no question to answer.")
        if not last.content.strip():
            raise RequestError("The message is empty.")


@dataclass(frozen=True)
class ChatReply:
    """An answer, whole or as far as it came."""

    text: str
    """Without the model's reasoning; with `go_on`, only what was added."""
    ended: Ended = "complete"
    prompt_tokens: int = 0
    new_tokens: int = 0
    seconds: float = 0.0
    """From the first token to the last, on the GPU."""
    left_out: int = 0
    """Messages at the start of the conversation that no longer fit the model's context."""
    reasoning: str = ""
    """What the model thought first, where it marks that (`<think>...</think>`)."""

    @property
    def tokens_per_second(self) -> float | None:
        return self.new_tokens / self.seconds if self.seconds > 0 else None


@dataclass(frozen=True)
class ImageRequest:
    """Pictures to make from a prompt, from a picture, or in a part of one.

    Args:
        prompt: what is to be seen.
        negative_prompt: what is not to be seen; only for models that take one.
        width: pixels, 16 to 8,192; None: the model's own.
        height: likewise.
        images: how many pictures, 1 to 16, in one GPU call; picture number i (from 0) has the seed `seed + i`.
        steps: of the denoising, 1 to 200; None: the model's own.
        guidance: how closely the prompt is followed, 0 to 30; None: the model's own.
        seed: 0 to 2**31 - 1 for the same pictures again; None: others each time.
        scheduler: one of the engine's; "": the model's own.
        image: a picture to start from (a `PIL.Image.Image`, any mode).
        mask: with `image`: white where it is to be painted anew, black where it stays.
        strength: how much of `image` may change, 0.01 (hardly anything) to 1 (all of it).
        preview: report small pictures of the state between steps.
        adapters: active in this call and in no other; () for the base model alone.

    Raises:
        RequestError: anything is empty, of the wrong type or out of range.
    """

    prompt: str
    negative_prompt: str = ""
    width: int | None = None
    height: int | None = None
    images: int = 1
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None
    scheduler: str = ""
    image: Image | None = None
    mask: Image | None = None
    strength: float = 0.6
    preview: bool = False
    adapters: tuple[AdapterChoice, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.adapters, list):
            object.__setattr__(self, "adapters", tuple(self.adapters))
        check_adapters(self.adapters)
        check_text("The prompt", self.prompt)
        check_text("The negative prompt", self.negative_prompt)
        if not self.prompt.strip():
            raise RequestError("The prompt is empty.")
        for name, side in (("Width", self.width), ("Height", self.height)):
            if side is not None:
                check_number(name, side, MIN_SIDE, MAX_SIDE, whole=True)
        check_number("The number of images", self.images, 1, MAX_IMAGES, whole=True)
        if self.steps is not None:
            check_number("Steps", self.steps, 1, MAX_STEPS, whole=True)
        if self.guidance is not None:
            check_number("Guidance", self.guidance, 0, MAX_GUIDANCE)
        if self.seed is not None:
            check_number("Seed", self.seed, 0, MAX_SEED, whole=True)
        check_number("Strength", self.strength, 0.01, 1)
        if not isinstance(self.scheduler, str):
            raise RequestError(f"A scheduler is a name, not {str(self.scheduler)[:40]!r}.")
        if not isinstance(self.preview, bool):
            raise RequestError(f"Whether to preview is true or false, not {str(self.preview)[:40]!r}.")
        self._check_pictures()

    def _check_pictures(self) -> None:
        if self.image is None and self.mask is None:
            return
        from PIL import Image

        for name, picture in (("image", self.image), ("mask", self.mask)):
            if picture is not None and not isinstance(picture, Image.Image):
                raise RequestError(f"The {name} is a picture (PIL.Image.Image), not {type(picture).__name__}.")
        if self.image is None:
            raise RequestError("A mask needs the picture that it belongs to.")

    @property
    def mode(self) -> ImageMode:
        """From a prompt ("text"), from a picture ("image"), or in a part of one ("inpaint")."""
        if self.image is None:
            return "text"
        return "image" if self.mask is None else "inpaint"


@dataclass(frozen=True)
class Picture:
    """One picture that was made."""

    image: Image
    """RGB."""
    seed: int
    """With this seed and `images=1` the same request makes this picture again."""
    flagged: bool = False
    """The model's safety checker blacked it out."""


@dataclass(frozen=True)
class ImageReply:
    """The pictures of one call, whole or as far as they came."""

    pictures: tuple[Picture, ...]
    ended: Ended = "complete"
    steps: int = 0
    """Denoising steps that the pictures have; fewer than were asked for where the time ended."""
    steps_asked: int = 0
    seconds: float = 0.0
    """On the GPU, from the prompt to the last picture."""
    notes: tuple[str, ...] = ()
    """What was done differently from what was asked, in words for the visitor."""
    preview: Image | None = None
    """While it runs and if asked for: a small look at what is coming."""
