"""`zerokit doctor`: what would break or waste quota in a Space."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from ..doctor import Finding, Report


def doctor(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="The Space's folder.")] = Path("."),
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Read a Space, and say what would break or waste quota on ZeroGPU. Nothing of it is run."""
    from ..doctor import examine

    report = examine(folder)
    if as_json:
        import json

        typer.echo(json.dumps(report.as_dict(), indent=2))
    else:
        _show(report)
    if report.errors:
        raise typer.Exit(1)


def _show(report: Report) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    for finding in report.findings:
        _show_one(console, finding)
    console.print(_summary(report), markup=False)


def _show_one(console: Console, finding: Finding) -> None:
    from rich.text import Text

    colour = "red" if finding.severity == "error" else "yellow"
    console.print(Text.assemble((finding.code, f"bold {colour}"), "  ", (finding.place, "bold")))
    console.print(Text(f"  {finding.message}"))
    console.print(Text(f"  {finding.why}", style="dim"))
    console.print(Text(f"  > {finding.advice}\n"))


def _summary(report: Report) -> str:
    if not report.findings:
        return "Nothing found."
    errors, warnings = len(report.errors), len(report.warnings)
    return f"{_count(errors, 'error')}, {_count(warnings, 'warning')}."


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
