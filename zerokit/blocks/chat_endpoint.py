"""`/chat`: the chat for programs, through gradio_client, REST and MCP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from zerokit.blocks import conversation
from zerokit.blocks.chat_model import ChatModel
from zerokit.blocks.visitor import left_s
from zerokit.calls import Outcome, to_gradio
from zerokit.errors import ZeroKitError
from zerokit.quota import hub
from zerokit.requests import ChatReply, Message

RESULT = {
    "text": "string",
    "ended": "string",
    "prompt_tokens": "integer",
    "new_tokens": "integer",
    "seconds": "number",
    "left_out": "integer",
    "reasoning": "string",
    "reserved_s": "integer",
    "used_s": "number",
}
"""Name and JSON type of each field of an answer."""


def chat_endpoint(model: ChatModel) -> Callable[..., dict[str, Any]]:
    """The function behind the endpoint."""

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
        token: gr.OAuthToken | None = None,
    ) -> dict[str, Any]:
        """Answer a message of a conversation.

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

        Returns:
            An object with text, ended (complete, length, deadline, stopped or interrupted), prompt_tokens, new_tokens,
            seconds, left_out (messages that no longer fit the context), reasoning, reserved_s and used_s of the GPU.
        """
        given = {
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "top_k": top_k,
            "repetition_penalty": repetition_penalty,
            "seed": seed,
        }
        try:
            said = [*conversation.from_program(history), Message("user", message)]
            work = model.work(model.request(said, system_prompt, {k: v for k, v in given.items() if v is not None}))
        except ZeroKitError as exc:
            raise to_gradio(exc) from exc
        try:
            return for_program(model.reply.within(left_s(token)).outcome(work))
        finally:
            hub.forget(token.token if token else None)

    return chat


def for_program(outcome: Outcome) -> dict[str, Any]:
    """An answer, as a program gets it."""
    reply = outcome.value if isinstance(outcome.value, ChatReply) else ChatReply("", ended=outcome.ended)
    return {
        "text": reply.text,
        "ended": reply.ended if outcome.ended == "complete" else outcome.ended,
        "prompt_tokens": reply.prompt_tokens,
        "new_tokens": reply.new_tokens,
        "seconds": round(reply.seconds, 3),
        "left_out": reply.left_out,
        "reasoning": reply.reasoning,
        "reserved_s": outcome.usage.reserved_s,
        "used_s": round(outcome.usage.used_s, 3),
    }
