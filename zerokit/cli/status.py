"""`zerokit status`: how a Space is now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..deploy.status import Status
    from ..quota.hub import Quota


def status(space: Annotated[str, typer.Argument(metavar="USER/NAME", help="The Space's name on the Hub.")]) -> None:
    """Tell a Space's stage, hardware and last errors, and what is left of your quota. Ends with 1 where it failed."""
    from ..deploy.hub import check_space_name, connect, token_of
    from ..deploy.status import ask_status

    api = connect()
    found = ask_status(api, check_space_name(space))
    for line in _lines(found, f"{api.endpoint}/spaces/{found.space}", knows_you=bool(token_of(api))):
        typer.echo(line)
    if found.has_failed:
        raise typer.Exit(1)


def _lines(status: Status, address: str, *, knows_you: bool) -> list[str]:
    from ..deploy.wait import stage_in_words

    stage = stage_in_words(status.stage)
    where = status.hardware or "no hardware"
    soon = f", soon on {status.requested}" if status.requested else ""
    lines = [
        f"{status.space} ({'private' if status.private else 'public'}): {stage} on {where}{soon}",
        f"  {address}",
        f"  Sleep: {_sleep(status.sleep_time_s)}",
    ]
    if status.said:
        lines.append(f"  The Hub says: {status.said}")
    if status.errors:
        lines += ["  The last error in its log:", *(f"  | {line}" for line in status.errors)]
    else:
        lines.append(f"  Errors: {'none in its log' if knows_you else 'its log is for those who may write in it'}")
    lines.append(f"  Your quota: {_quota(status.quota) if knows_you else 'not known without a token'}")
    return lines


def _sleep(seconds: int | None) -> str:
    from ..quota.words import duration

    if seconds is None:
        return "by the Hub's own rule"
    return "never" if seconds < 0 else f"after {duration(seconds)} without a visit"


def _quota(quota: Quota | None) -> str:
    from ..quota.words import duration, runs

    if quota is None:
        return "the Hub does not tell it; a fine-grained token needs the permission to read billing"
    left = duration(quota.left_s) + (f" of {duration(quota.base_s)}" if quota.base_s is not None else "")
    parts = [left] if quota.runs_left is None else [left, runs(quota.runs_left)]
    back = f", back at {quota.resets_at.astimezone():%H:%M}" if quota.resets_at is not None else ""
    return f"{' and '.join(parts)} left{back}"
