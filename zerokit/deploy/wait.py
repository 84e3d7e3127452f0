"""Until a Space runs, with its build log; and why it does not.

Sources: huggingface_hub 2.4, `SpaceStage`, `get_space_runtime`, `fetch_space_logs`. After a commit the Hub goes on
telling the old stage for some seconds, so a stage is only believed once a new one was seen, or after SETTLE_S.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable

from huggingface_hub import HfApi, SpaceRuntime, SpaceStage

from zerokit.deploy import errors
from zerokit.deploy.hub import asking, shown
from zerokit.quota.words import duration

POLL_S = 3.0
SETTLE_S = 30.0
MAX_FAILURES = 5
TAIL = 15

BUILDING = (SpaceStage.BUILDING, SpaceStage.RUNNING_BUILDING)
STARTING = (SpaceStage.APP_STARTING, SpaceStage.RUNNING_APP_STARTING)
SLEEPING = "SLEEPING"  # told by the Hub, not in huggingface_hub 2.4

Say = Callable[[str], None]
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def until_running(api: HfApi, space: str, *, is_fresh: bool, timeout_s: float, say: Say) -> SpaceRuntime:
    """Wait for a Space, and tell the lines of its build log and every new stage.

    Args:
        api: the Hub.
        space: its name.
        is_fresh: whether something was just changed, so that the stage may still be the old one.
        timeout_s: how long to wait.
        say: takes each line.

    Raises:
        SpaceFailed: it does not run; by its stage.
    """
    log = BuildLog(api, space, say)
    began = time.monotonic()
    told = ""
    is_settled, is_building = not is_fresh, False
    while True:
        runtime = _ask(api, space)
        is_settled = is_settled or runtime.stage in BUILDING + STARTING or time.monotonic() - began > SETTLE_S
        if is_building and runtime.stage not in BUILDING:
            log.show()  # what came at its end
        is_building = runtime.stage in BUILDING
        if is_settled and runtime.stage not in BUILDING + STARTING:
            return _ended(api, space, runtime)
        if is_settled and runtime.stage != told:
            told = runtime.stage
            say(f"[{stage_in_words(told)}]")
        if is_building:
            log.show()
        if time.monotonic() - began > timeout_s:
            raise errors.StillBuilding(f"{space} is still in stage {runtime.stage} after {duration(timeout_s)}.")
        time.sleep(POLL_S)


def stage_in_words(stage: str) -> str:
    """A stage as people say it: "app starting"."""
    return shown(stage).lower().replace("_", " ")


class BuildLog:
    """The build log of a Space as it grows; the Hub sends it from its start each time."""

    def __init__(self, api: HfApi, space: str, say: Say) -> None:
        self._api = api
        self._space = space
        self._say = say
        self._first = ""
        self._seen = 0

    def show(self) -> None:
        """Tell the lines that are new. A log that cannot be had is no reason to stop."""
        try:
            with asking("reading the build log", self._space):
                for number, line in enumerate(self._api.fetch_space_logs(self._space, build=True)):
                    self._take(number, line)
        except errors.DeployError:
            return

    def _take(self, number: int, line: str) -> None:
        if number == 0 and line != self._first:
            self._first, self._seen = line, 0  # another build
        if number >= self._seen:
            self._seen = number + 1
            if plain := _plain(line):
                self._say(plain)


def tail(api: HfApi, space: str, *, build: bool, lines: int = TAIL) -> list[str]:
    """The last lines of a Space's build log or run log; none when they cannot be had."""
    last: deque[str] = deque(maxlen=lines)
    try:
        with asking("reading its log", space):
            last.extend(filter(None, map(_plain, api.fetch_space_logs(space, build=build))))
    except errors.DeployError:
        return []
    return list(last)


def error_message(runtime: SpaceRuntime) -> str:
    """What the Hub says of a Space that failed; nothing when it says nothing."""
    said = runtime.raw.get("errorMessage")
    return shown(said.strip()) if isinstance(said, str) else ""


def _plain(line: str) -> str:
    return shown(_ANSI.sub("", line).rstrip())


def _ask(api: HfApi, space: str) -> SpaceRuntime:
    for failure in range(MAX_FAILURES):
        try:
            with asking("waiting for it to run", space):
                return api.get_space_runtime(space)
        except (errors.HubUnavailable, errors.HubUnreachable, errors.HubBusy):
            time.sleep(POLL_S * 2**failure)
    with asking("waiting for it to run", space):
        return api.get_space_runtime(space)


def _ended(api: HfApi, space: str, runtime: SpaceRuntime) -> SpaceRuntime:
    stage = runtime.stage
    if stage in (SpaceStage.RUNNING, SLEEPING):
        return runtime
    said = error_message(runtime)
    if stage == SpaceStage.BUILD_ERROR:
        raise errors.BuildFailed(_with_log(f"{space} could not be built.", said, tail(api, space, build=True)))
    if stage == SpaceStage.RUNTIME_ERROR:
        raise errors.AppFailed(_with_log(f"{space} was built, and its app ended.", said, tail(api, space, build=False)))
    if stage == SpaceStage.CONFIG_ERROR:
        raise errors.ConfigFailed(_with_log(f"The Hub cannot use the card of {space}.", said, []))
    if stage == SpaceStage.NO_APP_FILE:
        raise errors.AppMissing(_with_log(f"The Hub finds no app file in {space}.", said, []))
    if stage in (SpaceStage.PAUSED, SpaceStage.STOPPED):
        raise errors.SpacePaused(_with_log(f"{space} is {stage.lower()}.", said, []))
    raise errors.SpaceFailed(_with_log(f"{space} is in stage {shown(stage)}.", said, []))


def _with_log(what: str, said: str, lines: list[str]) -> str:
    parts = [what]
    if said:
        parts.append(f'The Hub says: "{said}"')
    if lines:
        parts.append("The end of its log:")
    return "\n".join([" ".join(parts), *(f"  | {line}" for line in lines)])
