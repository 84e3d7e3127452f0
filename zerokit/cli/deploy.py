"""`zerokit deploy`: a folder becomes a Space that runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from ..deploy.files import Folder
    from ..deploy.plan import Plan, Wanted
    from ..deploy.preflight import Space


def deploy(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the Space.")],
    space: Annotated[str, typer.Option(metavar="USER/NAME", help="Its name on the Hub.")],
    hardware: Annotated[str, typer.Option(metavar="NAME", help="What it runs on.")] = "zero-a10g",
    sleep_time: Annotated[
        int | None,
        typer.Option(metavar="SECONDS", help="On paid hardware: without a visit for so long it sleeps; -1: never."),
    ] = None,
    secrets: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Secrets to set, as lines NAME=value. Never shown.")
    ] = None,
    variables: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Variables to set, likewise. Everybody can read them."),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new Space private.")] = False,
    smoke: Annotated[bool, typer.Option("--smoke/--no-smoke", help="Call it once when it runs.")] = True,
    timeout: Annotated[int, typer.Option(metavar="SECONDS", help="How long to wait until it runs.", min=1)] = 1800,
    force: Annotated[
        bool, typer.Option("--force", help="Deploy although the doctor finds errors or the plan seems too small.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Make or update a Space from a folder, wait until it runs and call it once."""
    from ..deploy.files import read_folder
    from ..deploy.hub import check_space_name, connect, token_of
    from ..deploy.plan import Wanted, check_hardware
    from ..deploy.variables import check_together, read_values

    name = check_space_name(space)
    check_hardware(hardware, sleep_time)
    secret_values = read_values(secrets, "--secrets") if secrets else {}
    variable_values = read_values(variables, "--variables") if variables else {}
    check_together(secret_values, variable_values)
    wanted = Wanted(
        name,
        read_folder(folder, [path for path in (secrets, variables) if path]),
        hardware=hardware,
        sleep_time_s=sleep_time,
        private=private,
        secrets=secret_values,
        variables=variable_values,
        smoke=smoke,
    )
    api = connect()
    _check_folder(wanted.folder, [*secret_values.values(), token_of(api)], force=force)
    plan = _plan(api, wanted, force=force, dry_run=dry_run)
    if dry_run:
        _show(plan, timeout)
    else:
        _carry_out(plan, api, timeout)


def _check_folder(folder: Folder, values: list[str], *, force: bool) -> None:
    """What can be seen without the Hub: secrets in the files, and what the doctor says."""
    from ..deploy.errors import DoctorObjects
    from ..deploy.files import WARN_BYTES, size_of
    from ..deploy.leaks import check_files
    from ..doctor import examine

    _say(f"{folder.path}: {len(folder.files):,} files, {size_of(folder.size)}")
    for name, reason in folder.left_out.items():
        _say(f"  left out: {name} ({reason})")
    if folder.size > WARN_BYTES:
        _say("  That is much for a Space: weights and data belong into a repository of their own.")
    check_files(folder.files, values)
    report = examine(folder.path)
    for finding in report.findings:
        _say(f"  doctor: {finding.severity} {finding.code} at {finding.place}: {finding.message}")
    if report.errors and not force:
        raise DoctorObjects(
            f"{len(report.errors)} would break the Space: {', '.join(sorted({one.code for one in report.errors}))}. "
            f"More about each: zerokit doctor {folder.path}"
        )


def _plan(api: HfApi, wanted: Wanted, *, force: bool, dry_run: bool) -> Plan:
    """Compare with the Space as it is; a dry run without a token or a network assumes that there is none yet."""
    from ..deploy.errors import HubUnreachable, NotSignedIn
    from ..deploy.hub import NO_TOKEN, token_of
    from ..deploy.plan import compare

    try:
        if not token_of(api):
            raise NotSignedIn(NO_TOKEN)
        return compare(wanted, _preflight(api, wanted, force=force))
    except (NotSignedIn, HubUnreachable) as exc:
        if not dry_run:
            raise
        _say(f"The Hub was not asked: {exc.message} This is for a Space that is not there yet.")
        return compare(wanted, None)


def _preflight(api: HfApi, wanted: Wanted, *, force: bool) -> Space | None:
    from ..deploy.errors import PlanTooSmall, SpaceTaken
    from ..deploy.preflight import ask_account, ask_settings, ask_space, check_may_write, check_room
    from ..deploy.wait import stage_in_words
    from ..quota.platform import ZERO_GPU

    name = wanted.space
    account = ask_account(api)
    space = ask_space(api, name)
    check_may_write(api, account, name, space)
    if space is not None:
        seen = "private" if space.private else "public"
        where = f"{stage_in_words(space.stage)} on {space.hardware or 'no hardware'}"
        _say(f"{name} is there, {seen}, and stays so: {where}.")
        if space.sdk not in (None, "gradio") and not force:
            raise SpaceTaken(f"{name} is a Space of another kind ({space.sdk}). With --force its files are replaced.")
        space = ask_settings(api, space)
    if wanted.hardware == ZERO_GPU and (space is None or space.hardware != ZERO_GPU):
        try:
            _say(check_room(api, account, name))
        except PlanTooSmall as exc:
            if not force:
                raise
            _say(f"  {exc.message}")
    return space


def _show(plan: Plan, timeout_s: int) -> None:
    from ..deploy.upload import Deployment

    _say("It would:")
    _say_unchanged(plan)
    for number, step in enumerate(Deployment(plan, None, _say, timeout_s=timeout_s).steps(), 1):
        _say(f"  {number}. {step.text}")
        for line in step.details:
            _say(f"       {line}")
    _say("Nothing was done.")


def _carry_out(plan: Plan, api: HfApi, timeout_s: int) -> None:
    import sys

    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    from ..deploy.upload import Deployment

    if not sys.stderr.isatty():
        disable_progress_bars()
    deployment = Deployment(plan, api, _say, timeout_s=timeout_s)
    _say_unchanged(plan)
    try:
        deployment.run()
    except KeyboardInterrupt:
        _say(f"Stopped. {deployment.so_far()} Run the same command again: it goes on from there.")
        raise typer.Exit(130) from None
    _say(f"{api.endpoint}/spaces/{plan.wanted.space}")


def _say_unchanged(plan: Plan) -> None:
    same = len(plan.wanted.folder.files) - len(plan.files)
    if same:
        _say(f"  {same:,} files are the same already.")
    if plan.stay:
        shown = ", ".join(plan.stay[:5]) + (f" and {len(plan.stay) - 5} more" if len(plan.stay) > 5 else "")
        _say(f"  Not in the folder, and not deleted: {shown}")


def _say(text: str) -> None:
    typer.echo(text)
