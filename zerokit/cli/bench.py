"""`zerokit bench`: what a Space costs its visitors, and how many answers a day they get."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError

if TYPE_CHECKING:
    from ..bench.figures import Day, Tier

COLUMNS = (
    "plan", "asked", "served", "cut", "refused", "killed", "failed", "reserved, s", "used, s", "wait, s", "longest",
    "GPU s", "runs",
)  # fmt: skip

WIDTH = 120


def bench(
    app: Annotated[Path, typer.Argument(metavar="APP", help="The app's file, or the Space's folder.")],
    tier: Annotated[
        list[str] | None,
        typer.Option(metavar="PLAN", help="Who visits, several times: anonymous, free and pro if none is named."),
    ] = None,
    visitors: Annotated[int, typer.Option(metavar="N", help="Visitors of each plan at a time.")] = 2,
    minutes: Annotated[float, typer.Option(metavar="M", help="How long they come.")] = 1.0,
    pause: Annotated[float, typer.Option(metavar="SECONDS", help="Between an answer and the next question.")] = 2.0,
    gpus: Annotated[int, typer.Option(metavar="N", help="How many calls can run at a time.")] = 1,
    api: Annotated[
        str | None, typer.Option(metavar="/NAME", help="The endpoint to call. Without: the first that uses a GPU.")
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="JSON", help="""What is asked, several times: '{"message": "Hello"}'."""),
    ] = None,
    inputs_file: Annotated[
        Path | None, typer.Option("--inputs", metavar="FILE", help="More of them, one JSON object a line.")
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with charts there.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Let visitors use a Space on the local ZeroGPU, and count what they got and what it cost."""
    from httpx import HTTPError

    from ..bench import figures, inputs
    from ..bench.run import Load, measure

    load = Load(tuple(tier or Load.tiers), visitors, minutes, gpus, pause)
    values = inputs.read(given or (), inputs_file)
    if values and api is None:
        raise UsageError("--input says what is asked, and --api of which endpoint: give both.")
    if report is not None and not report.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {report.absolute().parent} to write the report to.")
    try:
        measured = measure(app, load, api=api, values=values, told=lambda text: typer.echo(text, err=True))
    except RuntimeError as exc:
        raise UsageError(str(exc)) from exc
    except HTTPError as exc:
        raise UsageError(f"The app's page did not answer in time ({exc}): this machine may be too busy.") from exc
    if report is not None:
        from ..bench.page import page

        report.write_text(page(measured), "utf-8")
    if as_json:
        typer.echo(json.dumps(figures.as_dict(measured), indent=2, ensure_ascii=False))
    else:
        _show(figures.tiers(measured), figures.days(measured))
        for how, said in dict.fromkeys((visit.how, visit.said) for visit in measured.visits if visit.said):
            typer.echo(f"{how.capitalize()}: {said}")
    if not any(visit.how in ("served", "cut") for visit in measured.visits):
        raise typer.Exit(1)


def cells(tier: Tier) -> list[str]:
    """A row of the table, as `COLUMNS` names it."""
    counts = (tier.asked, tier.served, tier.cut, tier.refused, tier.killed, tier.failed)
    waits = (f"{tier.waited_s:.1f}", f"{tier.longest_wait_s:.1f}")
    return [
        tier.tier, *map(str, counts), f"{tier.reserved_s:g}", f"{tier.used_s:.2f}", *waits, f"{tier.gpu_s:.1f}",
        str(tier.runs),
    ]  # fmt: skip


def _show(tiers: Sequence[Tier], days: Sequence[Day]) -> None:
    from rich.console import Console
    from rich.table import Table

    from ..quota.platform import PLANS

    table = Table()
    for number, column in enumerate(COLUMNS):
        table.add_column(column, justify="right" if number else "left")
    for tier in tiers:
        table.add_row(*cells(tier))
    console = Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, WIDTH)  # as wide in a file or a narrow window: a figure is never cut
    console.print(table)
    for day in days:
        console.print(day.sentence(PLANS[day.tier]))
