"""Failures that nobody has words for: an event still says that it failed and what to do, and nothing else."""

from __future__ import annotations

from typing import Any

from fastapi import Request, applications, exception_handlers
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from gradio import queueing, utils

TITLE = "This did not work"
TEXT = (
    "The app could not do this with what it was sent; its log says why. Reload the page and try again. "
    "A program finds what each endpoint takes under “Use via API”."
)
_of_gradio = utils.error_payload
_push = queueing.Queue.push
_invalid = exception_handlers.request_validation_exception_handler


def give_words() -> None:
    """Let every event of this program that fails say so.

    Of what is not raised for visitors Gradio (6.31, `utils.error_payload`) tells a program `null` and a page a bare
    "Error", as when a file was never uploaded or an input has another type; and of what a validator's inputs fail on it
    tells the exception's text (`Queue.push`), which is not for visitors: it may hold paths. And FastAPI (0.165) fails
    itself where it says what is wrong with a body that holds a number without an end.
    """
    queueing.error_payload = utils.error_payload = error_payload
    queueing.Queue.push = push
    applications.request_validation_exception_handler = invalid  # type: ignore[attr-defined]


def error_payload(error: BaseException | None, show_error: bool) -> dict[str, Any]:
    """What the event answers: what Gradio says, or else that it failed."""
    content: dict[str, Any] = _of_gradio(error, show_error)
    return content if content.get("error") else {**content, "error": TEXT, "title": TITLE, "visible": True}


async def push(queue: Any, *args: Any, **named: Any) -> tuple[bool, Any, str]:
    """Take an event into the queue; one that is turned away for what it was sent is told in our words."""
    taken, said, state = await _push(queue, *args, **named)
    return taken, f"{TITLE}. {TEXT}" if state == "error" else said, state


async def invalid(request: Request, exc: RequestValidationError) -> JSONResponse:
    """What is wrong with a request; without repeating it where JSON has no word for what it holds."""
    try:
        return await _invalid(request, exc)
    except ValueError:
        said = [{name: value for name, value in one.items() if name != "input"} for one in exc.errors()]
        return JSONResponse({"detail": jsonable_encoder(said)}, status_code=422)
