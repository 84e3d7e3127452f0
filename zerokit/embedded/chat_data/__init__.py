"""What the embedded chat model is taught: questions in many wordings, their answers, and dialogues of them."""

from __future__ import annotations

from zerokit.embedded.chat_data.dialogues import Message, Sampler, turn
from zerokit.embedded.chat_data.wordings import Wording, load_tables, load_wordings, normal_form

__all__ = ["Message", "Sampler", "Wording", "load_tables", "load_wordings", "normal_form", "turn"]
