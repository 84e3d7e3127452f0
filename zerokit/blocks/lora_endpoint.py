"""`/chat` and `/compare` of a chat with adapters, for programs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import gradio as gr

from zerokit.blocks import conversation
from zerokit.blocks.adapter_choice import Chosen, chosen
from zerokit.blocks.adapter_part import AdapterPart
from zerokit.blocks.chat_adapters import acting, side_by_side
from zerokit.blocks.chat_endpoint import RESULT, for_program
from zerokit.blocks.chat_model import ChatModel
from zerokit.blocks.endpoint import document
from zerokit.blocks.visitor import left_s
from zerokit.calls import Outcome, to_gradio
from zerokit.errors import ZeroKitError
from zerokit.quota import hub
from zerokit.requests import ChatReply, ChatRequest, Message

COMPARED = {"answers": "array", "seed": "integer", "ended": "string", "reserved_s": "integer", "used_s": "number"}
"""Name and JSON type of each field of a comparison."""


def add_endpoints(model: ChatModel, part: AdapterPart) -> None:
    """Add both to the Blocks that are open, with the adapters' names in their schemas."""
    names = [adapter.name for adapter in part.engine.adapters]
    schemas = {"adapters": adapters_schema(names, custom=part.guests is not None)}
    for endpoint, result in ((_chat(model, part), RESULT), (_compare(model, part), COMPARED)):
        endpoint.__doc__ = (endpoint.__doc__ or "").replace("NAMES", told(names, custom=part.guests is not None))
        document(gr.api(endpoint, api_name=endpoint.__name__, concurrency_limit=None), result, schemas)


def adapters_schema(names: list[str], *, custom: bool) -> dict[str, Any]:
    """What a program may give as its adapters: a list of names, or weights by name; with `custom` others too."""
    one: dict[str, Any] = {"type": "string"} if custom else {"type": "string", "enum": names}
    # Gradio 6.31 cannot read that other properties are not allowed; whoever names one is told.
    weights = {"type": "object", "properties": {name: {"type": "number"} for name in names}}
    return {"anyOf": [{"type": "array", "items": one}, weights, {"type": "null"}]}


def told(names: list[str], *, custom: bool) -> str:
    """The same in words."""
    there = ", ".join(names) or "none"
    return f"{there}; or any public repository on the Hub" if custom else there


def brought(part: AdapterPart, adapters: Any) -> AbstractContextManager[list[Any]]:
    """What a program brings of its own, for one call."""
    return nullcontext([]) if part.guests is None else part.guests.brought(adapters)


def _chat(model: ChatModel, part: AdapterPart) -> Callable[..., dict[str, Any]]:
    def chat(
        message: str,
        history: list[dict[str, str]] | None = None,
        system_prompt: str | None = None,
        max_new_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        repetition_penalty: float | None = None,
        seed: int | None = None,
        adapters: list[str] | dict[str, float] | None = None,
        token: gr.OAuthToken | None = None,
    ) -> dict[str, Any]:
        """Answer a message of a conversation, with the adapters that are named and no others.

        Args:
            message: The question or instruction to answer.
            history: The conversation before it, oldest first: objects with "role" (user or assistant) and "content".
            system_prompt: What the model is told before the conversation. Default: the Space's own.
            max_new_tokens: The most tokens the answer may have, 1 to 32768.
            temperature: 0 (always the likeliest token) to 2.
            top_p: Probability mass that is sampled from, 0.01 to 1.
            top_k: How many of the likeliest tokens are sampled from, 0 (all) to 1000.
            repetition_penalty: 1 (none) to 2.
            seed: A whole number for the same answer again. Default: another each time.
            adapters: Names, or an object of weights (-4 to 4) by name. Default: none. There are: NAMES.

        Returns:
            An object with text, ended (complete, length, deadline, stopped or interrupted), prompt_tokens, new_tokens,
            seconds, left_out (messages that no longer fit the context), reasoning, reserved_s and used_s of the GPU.
        """
        given = _given(max_new_tokens, temperature, top_p, top_k, repetition_penalty, seed)
        try:
            with brought(part, adapters) as own:
                asked, choice = _asked(model, part, message, history, system_prompt, given, adapters, own)
                work = model.work(acting(asked, choice), choice.extra)
                return for_program(model.reply.within(left_s(token)).outcome(work))
        except ZeroKitError as exc:
            raise to_gradio(exc) from exc
        finally:
            hub.forget(token.token if token else None)

    return chat


def _compare(model: ChatModel, part: AdapterPart) -> Callable[..., dict[str, Any]]:
    def compare(
        message: str,
        adapters: list[str] | dict[str, float] | None = None,
        history: list[dict[str, str]] | None = None,
        system_prompt: str | None = None,
        max_new_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        repetition_penalty: float | None = None,
        seed: int | None = None,
        token: gr.OAuthToken | None = None,
    ) -> dict[str, Any]:
        """Answer a message with the base model and with each adapter alone, all with one seed, in one run of quota.

        Args:
            message: The question or instruction to answer.
            adapters: Names, or an object of weights (-4 to 4) by name. Default: all, which are: NAMES.
            history: The conversation before it, oldest first: objects with "role" (user or assistant) and "content".
            system_prompt: What the model is told before the conversation. Default: the Space's own.
            max_new_tokens: The most tokens an answer may have, 1 to 32768.
            temperature: 0 (always the likeliest token) to 2.
            top_p: Probability mass that is sampled from, 0.01 to 1.
            top_k: How many of the likeliest tokens are sampled from, 0 (all) to 1000.
            repetition_penalty: 1 (none) to 2.
            seed: A whole number for the same answers again. Default: another each time.

        Returns:
            An object with answers (each with adapter, weight, text, ended, new_tokens; the first is the base's, with
            an empty adapter), the seed, ended, reserved_s and used_s of the GPU.
        """
        given = _given(max_new_tokens, temperature, top_p, top_k, repetition_penalty, seed)
        if adapters is None:
            adapters = [adapter.name for adapter in part.engine.adapters]
        try:
            with brought(part, adapters) as own:
                asked, choice = _asked(model, part, message, history, system_prompt, given, adapters, own)
                rows = side_by_side(asked, choice)
                outcome = model.replies.within(left_s(token)).outcome(model.batch_work(rows, choice.extra))
        except ZeroKitError as exc:
            raise to_gradio(exc) from exc
        finally:
            hub.forget(token.token if token else None)
        return _compared(rows, outcome)

    return compare


def _given(*values: Any) -> dict[str, Any]:
    names = ("max_new_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "seed")
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def _asked(
    model: ChatModel,
    part: AdapterPart,
    message: str,
    history: Any,
    system_prompt: str | None,
    given: dict[str, Any],
    adapters: Any,
    own: list[Any],
) -> tuple[ChatRequest, Chosen]:
    said = [*conversation.from_program(history), Message("user", message)]
    mine = tuple(guest.adapter for guest in own)
    return model.request(said, system_prompt, given), chosen(adapters, part.engine.adapters, mine)


def _compared(rows: list[ChatRequest], outcome: Outcome) -> dict[str, Any]:
    replies = outcome.value if isinstance(outcome.value, list) else []
    answers = []
    for row, reply in zip(rows, replies, strict=False):
        assert isinstance(reply, ChatReply)
        answers.append(
            {
                "adapter": row.adapters[0].name if row.adapters else "",
                "weight": row.adapters[0].weight if row.adapters else 0,
                "text": reply.text,
                "ended": reply.ended,
                "new_tokens": reply.new_tokens,
            }
        )
    return {
        "answers": answers,
        "seed": rows[0].seed,
        "ended": outcome.ended,
        "reserved_s": outcome.usage.reserved_s,
        "used_s": round(outcome.usage.used_s, 3),
    }
