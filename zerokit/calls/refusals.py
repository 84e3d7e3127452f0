"""What `spaces` raises in the main process, translated once.

Titles and texts are those of `spaces` 0.51.3, `zero/client.py` and `zero/wrappers.py`. Seconds, runs and the missing
header share one title there, so the text is read.
"""

from __future__ import annotations

import re
from typing import Any

import httpx

from .. import errors
from ..errors import GPUError
from .page import is_gradio_error


def translate(error: BaseException, *, granted: bool = True) -> GPUError:
    """The GPUError for something that the scheduler or the client raised; `error` becomes its cause.

    Args:
        granted: whether the call had got its GPU by then.
    """
    text = _text(error)
    said: Any = error
    translated = _by_title(str(said.title), text) if is_gradio_error(error) else _by_kind(error, text, granted)
    translated.__cause__ = error
    return translated


def _by_title(title: str, text: str) -> GPUError:
    if title == "ZeroGPU quota exceeded":
        return _quota(text)
    if title == "ZeroGPU illegal duration":
        asked = re.search(r"\((\d+)s\)", text)
        seconds = f"{asked[1]} s" if asked else "more seconds than that"
        return errors.DurationTooLong(f"This asks for {seconds} of GPU time, more than one call of yours may have.")
    if title == "ZeroGPU pending credits exceeded":
        return errors.CreditsPending("Your paid GPU time is tied up in tasks that are still running.")
    if title == "ZeroGPU queue timeout":
        return errors.QueueTimeout("No GPU came free within 60 s.")
    if title == "ZeroGPU worker error" and "aborted" in text:
        return errors.CallKilled("The process that worked for you was ended before it was done.")
    if title == "ZeroGPU worker error" and text == "OutOfMemoryError":  # while it loads
        return errors.OutOfMemory("The model of this Space does not fit on the GPU.")
    if title == "ZeroGPU client error" and "Expired" in text:
        return errors.SignInExpired("The Hub's word on who you are is too old.")
    if title == "ZeroGPU client error" and "Internal" in text:
        return errors.NotIdentified("What your browser sent with the click could not be read.")
    if title == "ZeroGPU client error":
        return errors.PlatformUnavailable("No GPU was available.")
    return errors.FunctionFailed("The GPU call ended with an error.")


def _quota(text: str) -> GPUError:
    if "runs limit" in text:
        return errors.RunsExceeded("You have used all your GPU runs of today.")
    if "No GPU was available" in text:
        return errors.QueueTimeout("No GPU came free within 60 s.")
    if text.startswith("Space app has reached"):
        return errors.NotIdentified(
            "You came without the Hub's word on who you are, and this Space's own GPU time is used up."
        )
    numbers = re.search(r"\((\d+)s requested vs\. (-?\d+)s left\)", text)
    wait = re.search(r"Try again in (.+?)\. ", text + " ")
    said = (
        f"This reserves {numbers[1]} s of GPU time and you have {max(0, int(numbers[2]))} s left"
        if numbers
        else ("You do not have the GPU time left that this reserves")
    )
    return errors.QuotaExceeded(f"{said}; it comes back in {_duration(wait[1])}." if wait else f"{said}.")


def _duration(text: str) -> str:
    """ "1 day, 2:03:04" or "0:41:07" as people say it."""
    match = re.fullmatch(r"(?:(\d+) days?, )?(\d+):(\d\d):(\d\d)(?:\.\d+)?", text.strip())
    if not match:
        return "some time"
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    minutes += 60 * (24 * days + hours) + (seconds > 0)  # up: who comes back too early is refused again
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _by_kind(error: BaseException, text: str, granted: bool) -> GPUError:
    if isinstance(error, httpx.ConnectError | httpx.TimeoutException):
        return errors.PlatformUnavailable("ZeroGPU does not answer.")
    if isinstance(error, httpx.HTTPError):
        return errors.PlatformUnavailable("The connection to ZeroGPU broke.")
    if "Connection closed by visitor" in text:
        return errors.Stopped("You left the queue.")
    if "stream" in text or "queue disconnect" in text:
        return errors.PlatformUnavailable("The connection to ZeroGPU's queue broke.")
    if "/schedule error" in text:
        return errors.PlatformUnavailable("ZeroGPU answered with an error.")
    if "pickle" in text:
        return errors.FunctionFailed("What was asked for cannot be sent to the GPU.")
    if not granted:
        return errors.PlatformUnavailable("ZeroGPU gave an answer that cannot be read.")
    if isinstance(error, OSError | EOFError):
        return errors.CallKilled("The process that worked for you was gone.")
    return errors.FunctionFailed("The GPU call ended with an error.")


def _text(error: BaseException) -> str:
    message: Any = getattr(error, "message", None)
    return str(message if message is not None else error)
