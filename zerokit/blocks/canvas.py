"""What an image page says: progress, how it ended, what went wrong; as HTML, all texts escaped."""

from __future__ import annotations

import math
from dataclasses import replace
from html import escape

from zerokit.calls import Beat, Outcome
from zerokit.errors import ZeroKitError
from zerokit.quota import words
from zerokit.requests import ImageReply

_ENDINGS = {
    "deadline": "ended early with the reserved GPU time",
    "stopped": "stopped by you",
    "interrupted": "interrupted",
}


def pending(beat: Beat) -> str:
    """Where a call is: what is done, and how long it will still take."""
    if beat.phase != "running":
        said = {"waiting": "Waiting for a GPU", "waking": "Waking the GPU"}[beat.phase]
        return _running(said)
    progress = beat.progress
    if progress.done is None or not progress.total:
        return _running(progress.text or "Starting")
    said = f"{progress.text} · step {progress.done:.0f} of {progress.total:.0f}"
    if progress.done and beat.elapsed_s > 0:
        to_come_s = beat.elapsed_s / progress.done * (progress.total - progress.done)
        if beat.left_s is not None:
            to_come_s = min(to_come_s, beat.left_s)
        said += f" · about {max(1, math.ceil(to_come_s))} s left"
    return _running(said, progress.fraction)


def done(outcome: Outcome) -> str:
    """How a call ended: its pictures, their seeds, what was done differently, what it cost, what went wrong."""
    reply = outcome.value if isinstance(outcome.value, ImageReply) else None
    parts = []
    if reply is not None and reply.pictures:
        parts.append(_made(reply, outcome))
    elif outcome.ended == "stopped" or (reply is not None and reply.ended == "stopped"):
        parts.append(_line("Stopped before there was a picture."))
    if outcome.failure is not None and outcome.ended != "stopped":
        parts.append(failed(outcome.failure))
    return "".join(parts) or _line("The model gave no picture. Try again with another seed.")


def compared(outcome: Outcome) -> str:
    """How a call for several requests ended, as if it had been for one."""
    replies: list[ImageReply] = outcome.value if isinstance(outcome.value, list) else []
    early = [reply.ended for reply in replies if reply.ended != "complete"]
    pictures = tuple(picture for reply in replies for picture in reply.pictures)
    one = ImageReply(
        pictures,
        early[0] if early else "complete",
        steps=min((reply.steps for reply in replies if reply.pictures), default=0),
        seconds=sum(reply.seconds for reply in replies),
        notes=tuple(dict.fromkeys(note for reply in replies for note in reply.notes)),
    )
    return done(replace(outcome, value=one))


def failed(error: Exception) -> str:
    """An error as a card that stays until the next call."""
    title = error.title if isinstance(error, ZeroKitError) else str(getattr(error, "title", "Error"))
    text = str(error) if isinstance(error, ZeroKitError) else str(getattr(error, "message", error))
    return f'<div class="zi zi-error" role="alert"><b>{escape(title)}</b><span>{escape(text)}</span></div>'


def said(text: str, *more: str) -> str:
    """A plain line, and what there is to add."""
    return _line(text, *more)


def asking() -> str:
    """The click has arrived."""
    return _running("Asking for a GPU")


def caption(seed: int, *, flagged: bool = False) -> str:
    """Below a picture in the gallery."""
    return f"Seed {seed}" + (" · held back by the safety checker" if flagged else "")


def _made(reply: ImageReply, outcome: Outcome) -> str:
    count = len(reply.pictures)
    width, height = reply.pictures[0].image.size
    seeds = [picture.seed for picture in reply.pictures]
    words_ = [
        "1 picture" if count == 1 else f"{count} pictures",
        f"{width} × {height}",
        "1 step" if reply.steps == 1 else f"{reply.steps} steps",
        f"seed {seeds[0]}" if seeds[0] == seeds[-1] else f"seeds {seeds[0]} to {seeds[-1]}",
        f"{reply.seconds:.1f}\u00a0s",
    ]
    ended = reply.ended if outcome.ended == "complete" else outcome.ended
    if ended in _ENDINGS:
        words_.append(_ENDINGS[ended])
    more = list(reply.notes)
    usage = outcome.usage
    if usage.reserved_s is not None:
        start = f", of that {usage.cold_s:.1f} s to wake it" if usage.cold else ""
        more.append(f"GPU: reserved {words.duration(usage.reserved_s, up=True)}, used {usage.used_s:.1f} s{start}.")
    return _line(" · ".join(words_), *more)


def _running(text: str, fraction: float | None = None) -> str:
    """Without a role: a screen reader would be told every half a second; the bar tells when it is asked."""
    value = "" if fraction is None else f' value="{fraction:.3f}"'
    return f'<div class="zi"><span>{escape(text)}</span><progress aria-label="{escape(text)}"{value}></progress></div>'


def _line(text: str, *more: str) -> str:
    added = "".join(f'<span class="zi-more">{escape(one)}</span>' for one in more)
    return f'<div class="zi" role="status"><span>{escape(text)}</span>{added}</div>'
