"""The Hub's API with its errors put into words: status codes, a network that is away, messages of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import HfApi, get_session, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import httpx, validate_repo_id  # type: ignore[attr-defined]

from zerokit import __version__, settings
from zerokit.deploy import errors
from zerokit.errors import UsageError

TIMEOUT_S = 120.0
MAX_SHOWN = 500
NO_TOKEN = "There is no token, neither in HF_TOKEN nor saved by a login."
_PLAN = re.compile(r"zero-?gpu|subscri|\bplan\b|\bPRO\b|limited to|quota|billing|payment|credit", re.IGNORECASE)
_TOKEN = re.compile(r"hf_\w{4,}")


def connect() -> HfApi:
    """A client of the Hub with the caller's token; without one it asks as anybody.

    Raises:
        NotSignedIn: what is there cannot be a token.
    """
    token = get_token() or False
    if isinstance(token, str) and not re.fullmatch(r"[!-~]+", token):
        raise errors.NotSignedIn("The token has characters that no token has. Was something else copied?")
    get_session().timeout = TIMEOUT_S  # the library waits without end for a Hub that never answers
    return HfApi(endpoint=settings.hub_endpoint(), token=token, library_name="zerokit", library_version=__version__)


def token_of(api: HfApi) -> str:
    """The token of a client; "" when it has none."""
    return api.token if isinstance(api.token, str) else ""


def check_space_name(space: str) -> str:
    """The name as it is when it can be a Space's, "owner/name".

    Raises:
        UsageError: it cannot.
    """
    found = re.search(r"(?:huggingface\.co|hf\.co)/(?:spaces/)?([\w.-]+/[\w.-]+)", space)
    if found or space.startswith("spaces/"):
        name = found[1] if found else space.removeprefix("spaces/")
        raise UsageError(f"A Space is named without its address: --space {shown(name)}")
    if space.count("/") != 1:
        raise UsageError(f'A Space is named "owner/name", not "{shown(space)}".')
    try:
        validate_repo_id(space)
    except ValueError as exc:
        raise UsageError(
            f'"{shown(space)}" cannot be a Space\'s name: letters, digits, "-", "_" and "." are allowed, at most 96, '
            'no "--" or "..", and neither "-" nor "." at an end.'
        ) from exc
    return space


def shown(text: object) -> str:
    """`text` as a message may hold it: without a token, control characters or more than MAX_SHOWN characters."""
    plain = "".join(c if c.isprintable() or c == "\n" else " " for c in _TOKEN.sub("hf_***", str(text)))
    return plain if len(plain) <= MAX_SHOWN else f"{plain[:MAX_SHOWN]}…"


@contextmanager
def asking(what: str, space: str) -> Iterator[None]:
    """Translate what the Hub or the network answers while the block runs.

    Args:
        what: what is being done, as in "while {what}": "uploading the files".
        space: the Space that it is done to.
    """
    try:
        yield
    except Exception as exc:
        # The library wraps what went wrong with one of several large files.
        cause = exc.__cause__ if isinstance(exc, RuntimeError) and isinstance(exc.__cause__, Exception) else exc
        known = _in_words(cause, what, space)
        if known is None:
            raise
        raise known from exc


def _in_words(exc: Exception, what: str, space: str) -> errors.DeployError | None:
    """The error of ours for one of the library's, the network's or of an answer that is not the Hub's; else None."""
    address = settings.hub_endpoint()
    if isinstance(exc, LocalTokenNotFoundError):
        return errors.NotSignedIn(NO_TOKEN)
    if isinstance(exc, GatedRepoError):
        return errors.SpaceGated(f"{space} lets people in one by one, and this token is not among them.")
    if isinstance(exc, HfHubHTTPError):
        return _translated(exc, what, space)
    if isinstance(exc, OSError) and exc.filename is not None:
        return errors.FolderError(f"{shown(exc.filename)} cannot be read ({exc.strerror}).")
    if isinstance(exc, ConnectionError) and "HTTP status client error" in str(exc):  # of hf_xet
        return errors.HubRefused(f"The Hub's storage for large files refused them while {what}: {shown(exc)}.")
    if isinstance(exc, httpx.HTTPError | OfflineModeIsEnabled | ConnectionError | TimeoutError):
        # Of others the type only: the text of a refused header would have the token in it.
        said = f": {shown(exc)}" if isinstance(exc, httpx.ConnectError | ConnectionError) else ""
        return errors.HubUnreachable(f"{address} did not answer while {what} ({type(exc).__name__}{said}).")
    if isinstance(exc, ValueError | KeyError | TypeError | AttributeError):
        said = f"{address} answered while {what}, but not as the Hub does"
        return errors.HubUnavailable(f"{said} ({type(exc).__name__}).")
    return None


def _translated(exc: HfHubHTTPError, what: str, space: str) -> errors.DeployError:
    status = 0 if exc.response is None else exc.response.status_code
    said = _said(exc)
    if status == 401 and not isinstance(exc, RepositoryNotFoundError):
        return errors.NotSignedIn(f"The Hub does not take this token while {what}.{said}")
    if isinstance(exc, RepositoryNotFoundError) or status == 404:
        return errors.SpaceNotFound(f"The Hub knows no Space {space} that this token can see ({what}).{said}")
    if status == 402:
        return errors.PlanTooSmall(f"The Hub asks for a plan or for payment while {what}.{said}")
    if status == 403 and "limit reached" in said:  # of the repository's size
        return errors.HubRefused(f"The Hub does not take it while {what}.{said}")
    if status == 403:
        kind = errors.PlanTooSmall if _is_about_the_plan(said) else errors.NotAllowed
        return kind(f"The Hub does not allow it while {what}.{said}")
    if status == 409:
        return errors.SpaceTaken(f"The Hub already has something under {space}, which was not there before.{said}")
    if status == 412:
        return errors.SpaceChanged(f"Somebody else committed to {space} while it was being deployed.{said}")
    if status == 429:
        return errors.HubBusy(f"The Hub takes no more requests for now{_retry_after(exc)} ({what}).{said}")
    if status >= 500:
        return errors.HubUnavailable(f"The Hub answered with status {status} while {what}.{said}")
    return errors.HubRefused(f"The Hub answered with status {status} while {what}.{said}")


def _said(exc: HfHubHTTPError) -> str:
    """What the Hub itself said, as a sentence with a space before it; nothing when it said nothing."""
    said = " ".join((exc.server_message or "").split())
    return f' It says: "{shown(said)}"' if said and "<html" not in said.lower() else ""


def _is_about_the_plan(said: str) -> bool:
    return _PLAN.search(said) is not None


def _retry_after(exc: HfHubHTTPError) -> str:
    headers = {} if exc.response is None else exc.response.headers
    limit = re.search(r"\br=0\b.*\bt=(\d+)", headers.get("ratelimit", ""))
    seconds = headers.get("retry-after", "").strip() or (limit[1] if limit else "")
    return f", for {int(seconds)} s" if seconds.isdigit() else ""
