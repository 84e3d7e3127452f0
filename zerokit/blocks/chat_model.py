"""A chat model without a page: from a conversation to the work for the GPU, and its two GPU functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zerokit import control
from zerokit.blocks.conversation import Turn
from zerokit.calls import gpu
from zerokit.calls.chat_duration import BatchDuration, ChatDuration
from zerokit.engines.prompts import PreparedBatch, PreparedChat
from zerokit.engines.shelf import Adapter
from zerokit.engines.text import TextEngine
from zerokit.errors import RequestError
from zerokit.requests import MAX_SEED, ChatReply, ChatRequest, Message


@dataclass(frozen=True)
class ChatWork:
    """One answer to make: all that the estimate and the call need."""

    prepared: PreparedChat
    question: str

    @property
    def prompt_tokens(self) -> int:
        return self.prepared.prompt_tokens

    @property
    def max_new_tokens(self) -> int:
        return self.prepared.max_new_tokens

    @property
    def active_adapters(self) -> int:
        return self.prepared.active_adapters

    @property
    def to_load(self) -> float:
        return self.prepared.to_load


@dataclass(frozen=True)
class BatchWork:
    """Many answers to make in one call."""

    prepared: PreparedBatch
    question: str

    @property
    def rows(self) -> int:
        return len(self.prepared.chats)

    @property
    def prompt_tokens(self) -> int:
        return sum(chat.prompt_tokens for chat in self.prepared.chats)

    @property
    def max_new_tokens(self) -> int:
        return self.prepared.max_new_tokens

    @property
    def active_adapters(self) -> int:
        return self.prepared.active_adapters

    @property
    def to_load(self) -> float:
        return self.prepared.to_load


class ChatModel:
    """An engine with its GPU functions, and where the settings start.

    Args:
        engine: the model.
        size: "large", "xlarge" or None (large).
        system_prompt: what it is told before every conversation, unless a request says something else.
        max_new_tokens: the most tokens of an answer, to begin with.
        temperature: to begin with; None: the model's own, or 0.7.

    Raises:
        RequestError: a setting is out of range.
    """

    def __init__(
        self,
        engine: TextEngine,
        *,
        size: str | None,
        system_prompt: str,
        max_new_tokens: int,
        temperature: float | None,
    ) -> None:
        self.engine, self.system_prompt = engine, system_prompt
        self.sampling = _sampling_of(engine, max_new_tokens, temperature)
        self.reply, self.replies = _gpu_functions(engine, size)

    def request(
        self, messages: Sequence[Message | Turn], system_prompt: str | None, settings: dict[str, Any]
    ) -> ChatRequest:
        """The last of the messages as a request, with the block's own settings where none are given."""
        said = [turn if isinstance(turn, Message) else Message(turn["role"], turn["content"]) for turn in messages]
        system = self.system_prompt if system_prompt is None else system_prompt
        if not isinstance(system, str):
            raise RequestError("The system prompt is a text.")
        if system.strip() and said and said[0].role != "system":
            said.insert(0, Message("system", system.strip()))
        return ChatRequest(tuple(said), **{**self.sampling, **settings})

    def work(self, request: ChatRequest, extra: Sequence[Adapter] = ()) -> ChatWork:
        """The request as the GPU call gets it: read, cut to the context, its question apart; `extra` adapters ride
        along for those that it names."""
        question = next((m.content for m in reversed(request.messages) if m.role == "user"), "")
        return ChatWork(self.engine.prepare(request, extra=extra), question)

    def batch_work(self, requests: Sequence[ChatRequest], extra: Sequence[Adapter] = ()) -> BatchWork:
        """Many requests for one call."""
        prepared = self.engine.prepare_batch(requests, extra=extra)
        return BatchWork(prepared, max((request.messages[-1].content for request in requests), key=len))


def _sampling_of(engine: TextEngine, max_new_tokens: int, temperature: float | None) -> dict[str, Any]:
    own = engine.sampling
    sampling = {
        "max_new_tokens": min(max_new_tokens, max(1, engine.context_tokens // 2)),
        "temperature": own.get("temperature", 0.7) if temperature is None else temperature,
        "top_p": own.get("top_p", 0.95),
        "top_k": own.get("top_k", 50),
        "repetition_penalty": 1.0,
    }
    ChatRequest((Message("user", "?"),), **sampling)  # an author's mistake is told at once
    return sampling


def _gpu_functions(engine: TextEngine, size: str | None) -> tuple[Any, Any]:
    """The two functions of a chat that run on the GPU: one answer, and many."""
    parameters = sum(p.numel() for p in engine.model.parameters())

    def reply(work: ChatWork) -> ChatReply:
        return engine.generate(work.prepared, control.required())

    def replies(work: BatchWork) -> list[ChatReply]:
        return engine.generate_batch(work.prepared, control.required())

    one = ChatDuration(parameters, engine.packed_bytes, name=f"chat/{engine.name}")
    many = BatchDuration(parameters, engine.packed_bytes, name=f"chat batch/{engine.name}")
    return gpu(duration=one, size=size)(reply), gpu(duration=many, size=size)(replies)


def from_page(
    max_new_tokens: Any, temperature: Any, top_p: Any, top_k: Any, repetition_penalty: Any, seed: Any
) -> dict[str, Any]:
    """The page's settings as fields of a request; sliders give whole numbers as floats."""
    return {
        "max_new_tokens": _whole(max_new_tokens),
        "temperature": temperature,
        "top_p": top_p,
        "top_k": _whole(top_k),
        "repetition_penalty": repetition_penalty,
        "seed": None if seed is None else _whole(seed) % (MAX_SEED + 1) if isinstance(_whole(seed), int) else seed,
    }


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
