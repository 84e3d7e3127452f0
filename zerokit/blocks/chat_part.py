"""What can stand beside a chat and take part in its requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from zerokit.blocks.chat_endpoint import RESULT, chat_endpoint
from zerokit.blocks.chat_model import ChatModel
from zerokit.blocks.endpoint import document
from zerokit.engines.shelf import Adapter
from zerokit.requests import ChatRequest


class ChatPart:
    """A part of a chat's page; this one is not seen and changes nothing.

    The values of its inputs come with every event of the chat: a question, its price, Continue, a retry.
    """

    inputs: Sequence[gr.components.Component] = ()
    beside_px: int = 140
    """The least width of the column beside the conversation."""

    def place_beside(self) -> None:
        """Place what stands in the column beside the conversation."""

    def place_below(self) -> None:
        """Place what stands below the text box."""

    def take_part(self, asked: ChatRequest, values: Sequence[Any]) -> tuple[ChatRequest, tuple[Adapter, ...]]:
        """The request with what this part adds to it, and the adapters that ride along.

        Args:
            asked: as the chat alone would ask it.
            values: of the inputs.

        Raises:
            RequestError: they cannot be used.
        """
        return asked, ()

    def add_endpoints(self, model: ChatModel) -> None:
        """Add `/chat` to the Blocks that are open."""
        document(gr.api(chat_endpoint(model), api_name="chat", concurrency_limit=None), RESULT)
