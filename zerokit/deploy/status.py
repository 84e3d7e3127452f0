"""How a Space is now: its stage, what it runs on, its last errors, and what is left of the caller's quota."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from huggingface_hub import HfApi, SpaceStage

from zerokit.deploy.hub import asking, token_of
from zerokit.deploy.wait import error_message, tail
from zerokit.quota import hub as quota_hub
from zerokit.quota.hub import Quota

LOG_LINES = 400
MAX_ERRORS = 12
FAILED = (SpaceStage.BUILD_ERROR, SpaceStage.RUNTIME_ERROR, SpaceStage.CONFIG_ERROR, SpaceStage.NO_APP_FILE)
_TRACEBACK = "Traceback (most recent call last)"
_ERROR = re.compile(r"\b(?i:error|exception|critical|fatal|killed)\b|[a-z]Error\b")


@dataclass(frozen=True)
class Status:
    """A Space as the Hub tells of it.

    Args:
        space: its name.
        private: whether only its owner sees it.
        stage: as "RUNNING".
        hardware: what it runs on; None: nothing yet.
        requested: what it will run on, where that is something else.
        sleep_time_s: seconds without a visit until it sleeps; -1: never; None: by the Hub's own rule.
        said: what the Hub says of its failure; "": nothing.
        errors: the last error in its log, as lines.
        quota: the caller's; None: not known.
    """

    space: str
    private: bool
    stage: str
    hardware: str | None
    requested: str | None
    sleep_time_s: int | None
    said: str
    errors: tuple[str, ...]
    quota: Quota | None

    @property
    def has_failed(self) -> bool:
        """Whether it does not run because of an error."""
        return self.stage in FAILED


def ask_status(api: HfApi, space: str) -> Status:
    """Ask the Hub how a Space is.

    Raises:
        DeployError: there is no such Space, or the Hub cannot be asked.
    """
    with asking("looking at the Space", space):
        info = api.space_info(space)
        runtime = api.get_space_runtime(space)
    # Only those who may write in it can read its log.
    is_building = runtime.stage == SpaceStage.BUILD_ERROR
    log = tail(api, space, build=is_building, lines=LOG_LINES) if token_of(api) else []
    requested = runtime.requested_hardware
    return Status(
        info.id,
        private=bool(info.private),
        stage=runtime.stage,
        hardware=runtime.hardware,
        requested=requested if requested != runtime.hardware else None,
        sleep_time_s=runtime.sleep_time,
        said=error_message(runtime),
        errors=last_error(log),
        quota=quota_hub.fetch(token_of(api), endpoint=api.endpoint),
    )


def last_error(lines: Sequence[str]) -> tuple[str, ...]:
    """The last traceback of a log, else its last lines that tell of an error; at most MAX_ERRORS lines."""
    starts = [number for number, line in enumerate(lines) if _TRACEBACK in line]
    if starts:
        block = lines[starts[-1] :]
        ends = [number for number, line in enumerate(block) if number and line and not line[0].isspace()]
        block = block[: ends[0] + 1] if ends else block
        return tuple([block[0], "…", *block[-(MAX_ERRORS - 2) :]] if len(block) > MAX_ERRORS else block)
    return tuple([line for line in lines if _ERROR.search(line)][-MAX_ERRORS:])
