"""A conversation as the page has it and as the model reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zerokit.blocks.harmless import as_written, harmless
from zerokit.calls.call import Beat, Outcome
from zerokit.errors import RequestError, ZeroKitError
from zerokit.requests import ChatReply, Message

NOTE = "zerokit-note"
"""The id of what the page shows beside the conversation: it is never sent to the model."""

Turn = dict[str, Any]

_ENDINGS = {
    "length": "cut at the most tokens it may have",
    "deadline": "cut when the reserved GPU time ended",
    "stopped": "stopped by you",
    "interrupted": "interrupted",
}


def for_model(history: Sequence[Any], system_prompt: str = "", *, go_on: bool = False) -> list[Message]:
    """The messages of the page's history, without notes, and without questions that got no answer.

    With `go_on` the last answer is the one to be continued; what the model thought before it goes along.

    Raises:
        RequestError: a message is no text, or far too long.
    """
    said: list[Message] = []
    for turn in history:
        role, text = _field(turn, "role"), _text(_field(turn, "content"))
        if is_note(turn) or not text.strip() or role not in ("user", "assistant"):
            continue
        if said and said[-1].role == role == "user":
            said.pop()
        if said and said[-1].role == role == "assistant":
            text = said.pop().content + text
        said.append(Message(role, text))
    if go_on and said:
        said = _with_thoughts(said, history)
    if said and said[-1].role == "user":
        said.pop()
    system = [Message("system", system_prompt.strip())] if system_prompt.strip() else []
    return [*system, *said]


def from_program(history: Any) -> list[Message]:
    """The messages of a history that came through the API; what is no conversation is refused, not left out.

    Raises:
        RequestError: it is no list of messages by user or assistant, or one is far too long.
    """
    if history is None:
        return []
    if not isinstance(history, list):
        raise RequestError('The history is a list of messages, each with "role" and "content".')
    for number, turn in enumerate(history, 1):
        role, content = (turn.get("role"), turn.get("content")) if isinstance(turn, dict) else (None, None)
        if role not in ("user", "assistant") or not isinstance(content, str | list | dict):
            raise RequestError(
                f'Message {number} of the history must have the role "user" or "assistant" and a text as its content; '
                "a system prompt goes into system_prompt."
            )
    return for_model(history)


def last_question(history: Sequence[Any]) -> tuple[str, list[Any]]:
    """What was asked last, and the history before it; "" where nothing was asked."""
    for place in range(len(history) - 1, -1, -1):
        text = _text(_field(history[place], "content"))
        if _field(history[place], "role") == "user" and text.strip():
            return text, list(history[:place])
    return "", []


def _with_thoughts(said: list[Message], history: Sequence[Any]) -> list[Message]:
    """The conversation, its last answer as the model wrote it: what it thought, marked, and what it said."""
    thoughts = ""
    for turn in reversed(history):
        if _field(turn, "role") == "user":
            break
        if _note_name(turn) == "reasoning":
            thoughts = _text(_field(turn, "content"))
    if not thoughts.strip():
        return said
    if said[-1].role == "user":
        return [*said, Message("assistant", f"<think>\n{thoughts}")]
    return [*said[:-1], Message("assistant", f"<think>\n{thoughts}\n</think>\n\n{said[-1].content}")]


def is_note(turn: Any) -> bool:
    """Whether it stands beside the conversation: progress, an error, the line under an answer, what was thought."""
    metadata = _field(turn, "metadata") or {}
    return str(metadata.get("id") or "").startswith(NOTE) or bool(metadata.get("title"))


def joined(before: Sequence[Turn], added: Sequence[Turn], *, over: bool = False) -> list[Turn]:
    """The history with what was added to its last answer in it, and what is said about it after it.

    Args:
        over: nothing more will be added; if nothing was, what was said about the answer still holds.
    """
    if not before:
        return list(added)
    turns = list(before)
    while turns and is_note(turns[-1]) and _note_name(turns[-1]) != "reasoning":
        turns.pop()
    more = {_note_name(turn): turn for turn in added if _note_name(turn) in (None, "reasoning")}
    if over and not more:
        turns += [turn for turn in before[len(turns) :] if _note_name(turn) == "cut"]
    for name, turn in sorted(more.items(), key=lambda item: item[0] is None):
        turns = _continued(turns, name, turn)
    return [*turns, *(turn for turn in added if _note_name(turn) not in (None, "reasoning"))]


def _continued(turns: list[Turn], name: str | None, added: Turn) -> list[Turn]:
    """The turns with a continuation in the last answer, or in what was thought before it."""
    for index in range(len(turns) - 1, -1, -1):
        if turns[index]["role"] == "user":
            break
        if _note_name(turns[index]) == name:
            between = " " if name == "reasoning" else ""
            text = _text(turns[index]["content"]) + between + _text(added["content"])
            return [*turns[:index], {**added, "content": _parts(text)}, *turns[index + 1 :]]
    return [*turns, added]


def can_go_on(history: Sequence[Turn]) -> bool:
    """Whether the last answer was cut, so that it can be continued."""
    for turn in reversed(history):
        if not is_note(turn) or _note_name(turn) == "reasoning":
            return False
        if _note_name(turn) == "cut":
            return True
    return False


def _note_name(turn: Any) -> str | None:
    """Which note it is, "" for one without a name; None: it is said by somebody."""
    if not is_note(turn):
        return None
    return str((_field(turn, "metadata") or {}).get("id") or "").removeprefix(NOTE).removeprefix("-")


def pending(beat: Beat) -> list[Turn]:
    """What the page shows while an answer is made."""
    words = {"waiting": "Waiting for a GPU", "waking": "Waking the GPU"}.get(beat.phase, "Thinking")
    if beat.phase == "running" and beat.progress.done:
        words = f"Writing · {beat.progress.done:.0f} tokens"
    if beat.left_s is not None and beat.phase == "running":
        words += f" · at most {max(1, round(beat.left_s))} s more"
    return [note("", words, status="pending")]


def streamed(beat: Beat) -> list[Turn]:
    """The answer so far, for those who want to see it come."""
    if isinstance(beat.made, ChatReply) and (beat.made.text or beat.made.reasoning):
        return _said(beat.made, status="pending")
    return pending(beat)


def answered(reply: ChatReply | None, outcome: Outcome) -> list[Turn]:
    """What the page shows of a call that is over: the answer as far as it came, and what is to be said about it."""
    turns = _said(reply) if reply is not None else []
    if outcome.failure is not None and outcome.ended != "stopped":
        turns.append(failed(outcome.failure))
    if reply is not None and (reply.text or reply.reasoning):
        turns.append(_line(reply, outcome))
    elif outcome.ended == "stopped":
        turns.append(note("Stopped before there was an answer."))
    elif outcome.failure is None and not turns:
        turns.append(note("The model gave an empty answer. Try again, or ask in another way."))
    return turns


def failed(error: Exception) -> Turn:
    """An error as a card that stays in the conversation."""
    title = error.title if isinstance(error, ZeroKitError) else str(getattr(error, "title", "Error"))
    text = str(error) if isinstance(error, ZeroKitError) else str(getattr(error, "message", error))
    return note(f"**{title}**\n\n{_plain(text)}", name="error")


def said_by(role: str, text: str) -> Turn:
    """Something that was said, so that it fetches nothing; as a part, for Gradio takes tabs and indentation away from a
    plain string."""
    return {"role": role, "content": _parts(text)}


def note(content: str, title: str | None = None, *, status: str | None = None, name: str = "") -> Turn:
    """Something beside the conversation; with a title it folds."""
    metadata: dict[str, Any] = {"id": f"{NOTE}-{name}" if name else NOTE}
    if title:
        metadata["title"] = title
    if status:
        metadata["status"] = status
    return {**said_by("assistant", content), "metadata": metadata}


def _said(reply: ChatReply, status: str = "done") -> list[Turn]:
    turns = []
    if reply.reasoning:
        turns.append(note(reply.reasoning, "What it thought first", status=status, name="reasoning"))
    if reply.text:
        turns.append(said_by("assistant", reply.text))
    return turns


def _line(reply: ChatReply, outcome: Outcome) -> Turn:
    """The line under an answer: tokens and speed, how it ended; folded in it what it cost."""
    ended = reply.ended if outcome.ended == "complete" else outcome.ended
    words = [f"{reply.new_tokens:,} token{'' if reply.new_tokens == 1 else 's'}"]
    if reply.tokens_per_second:
        words.append(f"{reply.tokens_per_second:,.0f} per second")
    if ended in _ENDINGS:
        words.append(_ENDINGS[ended])
    if reply.left_out:
        words.append(
            f"the first {reply.left_out} messages no longer fit"
            if reply.left_out > 1
            else ("the first message no longer fits")
        )
    usage = outcome.usage
    details = [f"Prompt: {reply.prompt_tokens:,} tokens."]
    if reply.left_out:
        details.append(
            "The conversation is longer than this model can read: its start was left out. "
            "Begin a new conversation, or repeat what matters."
        )
    if usage.reserved_s is not None:
        start = f", of that {usage.cold_s:.1f} s to wake it" if usage.cold else ""
        details.append(f"GPU: reserved {usage.reserved_s} s, used {usage.used_s:.1f} s{start}.")
    return note(" ".join(details), " · ".join(words), status="done", name="cut" if ended in _ENDINGS else "line")


def _plain(text: str) -> str:
    """Text that Markdown and HTML leave alone."""
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>#|" else sign for sign in text)


def _field(turn: Any, name: str) -> Any:
    return turn.get(name) if isinstance(turn, dict) else getattr(turn, name, None)


def _parts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": harmless(text)}]


def _text(content: Any) -> str:
    """The text of a message's content: a string, or Gradio's list of parts."""
    if isinstance(content, str):
        return as_written(content)
    if isinstance(content, dict):
        return as_written(str(content.get("text") or "")) if content.get("type", "text") == "text" else ""
    if isinstance(content, list | tuple):
        return "".join(_text(part) for part in content)
    return ""
