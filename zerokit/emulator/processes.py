"""Processes of this machine, looked at through /proc as `spaces` itself does (spaces/zero/utils.py)."""

from __future__ import annotations

import os
import signal
from pathlib import Path


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def gone(pid: int) -> bool:
    """Whether every thread of the process has ended, and with them what they held: memory, files, a card.

    A process that is killed is soon a zombie by its first thread, while others are still on their way.
    """
    try:
        stats = [stat.read_text() for stat in Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:
        return not alive(pid)
    return all(stat.rpartition(")")[2].split()[0] in "ZX" for stat in stats)


def exists(pid: int) -> bool:
    """Whether there is a process of that id, a zombie included."""
    return Path(f"/proc/{pid}").exists()


def is_mine(pid: int) -> bool:
    """Whether the process runs and belongs to this user."""
    try:
        return Path(f"/proc/{pid}").stat().st_uid == os.getuid()
    except OSError:
        return False


def group_of(pid: int) -> int | None:
    """The process group; None: no such process."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def kill(pid: int) -> None:
    """End a process at once, as the platform does at the deadline."""
    if pid <= 1 or pid == os.getpid():
        raise ValueError(f"Process {pid} is no worker.")
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def signal_group(group: int, number: signal.Signals) -> None:
    """Signal an app and every worker it forked."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


def group_members(group: int) -> list[int]:
    """Processes of a group that still run."""
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and group_of(int(entry.name)) == group and alive(int(entry.name)):
            members.append(int(entry.name))
    return members
