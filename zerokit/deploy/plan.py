"""What has to be done so that the Space is as the folder and the options say: a comparison, without the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from huggingface_hub import SpaceHardware

from zerokit.deploy.files import File, Folder, size_of
from zerokit.deploy.preflight import RemoteFile, Space
from zerokit.errors import UsageError
from zerokit.quota.platform import ZERO_GPU

UNPAID = (ZERO_GPU, SpaceHardware.CPU_BASIC.value)


@dataclass(frozen=True)
class Wanted:
    """How the Space shall be.

    Args:
        space: its name, "owner/name".
        folder: what belongs into it.
        hardware: a name of `huggingface_hub.SpaceHardware`.
        sleep_time_s: seconds without a visit until it sleeps; -1: never; None: as it is.
        private: whether a new Space is private; what is there stays as it is.
        secrets: values by name.
        variables: values by name, which everybody can read.
        smoke: whether to call it once it runs.
    """

    space: str
    folder: Folder
    hardware: str = ZERO_GPU
    sleep_time_s: int | None = None
    private: bool = False
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    smoke: bool = True


@dataclass(frozen=True)
class Plan:
    """What differs between the Space as it is wanted and as it is.

    Args:
        wanted: how it shall be.
        space: how it is; None: there is none.
        files: what is new or changed.
        stay: files of the Space that the folder does not have; they are not deleted.
        variables: names of those that are new or changed.
        hardware: whether it runs on something else.
        sleep_time: whether it sleeps after another time.
    """

    wanted: Wanted
    space: Space | None
    files: tuple[File, ...]
    stay: tuple[str, ...]
    variables: tuple[str, ...]
    hardware: bool
    sleep_time: bool

    @property
    def is_new(self) -> bool:
        """Whether the Space has to be made."""
        return self.space is None


def compare(wanted: Wanted, space: Space | None) -> Plan:
    """Find what differs.

    Raises:
        UsageError: a name is wanted as a secret and is a variable of the Space, or the other way round.
    """
    there = space or Space(wanted.space)
    for name in sorted(wanted.secrets.keys() & there.variables.keys()):
        raise UsageError(f"{name} is a variable of {wanted.space}, not a secret. Remove it on the settings page first.")
    for name in sorted(wanted.variables.keys() & there.secrets):
        raise UsageError(f"{name} is a secret of {wanted.space}, not a variable. Remove it on the settings page first.")
    names = {file.name for file in wanted.folder.files}
    return Plan(
        wanted,
        space,
        files=tuple(file for file in wanted.folder.files if _differs(file, there.files.get(file.name))),
        stay=tuple(sorted(there.files.keys() - names - {".gitattributes"})),
        variables=tuple(name for name, value in wanted.variables.items() if there.variables.get(name) != value),
        hardware=space is not None and space.hardware != wanted.hardware,
        sleep_time=space is not None and wanted.sleep_time_s not in (None, space.sleep_time_s),
    )


def check_hardware(hardware: str, sleep_time_s: int | None) -> None:
    """Refuse a name that is no hardware, and a sleep time where none can be set.

    Raises:
        UsageError: with what there is.
    """
    names = [one.value for one in SpaceHardware]
    if hardware not in names:
        near = get_close_matches(hardware, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"There is no hardware {hardware!r}: it is one of {', '.join(names)}.{hint}")
    if sleep_time_s is None:
        return
    if hardware in UNPAID:
        raise UsageError(f"--sleep-time is for hardware that is paid for; {hardware} sleeps by the Hub's own rule.")
    if sleep_time_s != -1 and sleep_time_s < 1:
        raise UsageError(f"--sleep-time is a number of seconds from 1 up, or -1 for never, not {sleep_time_s}.")


def named_files(plan: Plan) -> list[str]:
    """The files to upload, each with "+" for new or "~" for changed, and its size."""
    there = plan.space.files if plan.space else {}
    return [f"{'~' if file.name in there else '+'} {file.name} ({size_of(file.size)})" for file in plan.files]


def _differs(file: File, there: RemoteFile | None) -> bool:
    if there is None or there.size != file.size:
        return True
    return there.oid != (file.sha256() if there.is_large else file.git_oid())
