"""`zerokit doctor`: what would break or waste quota in a Space."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from ..doctor import Finding, Report


def doctor(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The Space's folder.")] = Path("."),
    fix: Annotated[bool, typer.Option("--fix", help="Mend what can be mended safely, and say what was.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    explain: Annotated[str | None, typer.Option(metavar="CODE", help="Say what a rule is about, and end.")] = None,
) -> None:
    """Read a Space, and say what would break or waste quota on ZeroGPU. Nothing of it is run."""
    if explain is not None:
        _explain(explain, alone=not fix and not as_json)
        return
    from ..doctor import examine
    from ..doctor.fixes import fix as mend

    fixes = mend(folder) if fix else []
    report = examine(folder)
    if as_json:
        told = {"fixes": [vars(one) for one in fixes]} if fix else {}
        typer.echo(json.dumps({**report.as_dict(), **told}, indent=2))
    else:
        for one in fixes:
            typer.echo(f"Mended {one.path} ({one.code}): {one.what}.")
        _show(report)
    if report.errors:
        raise typer.Exit(1)


def _explain(code: str, alone: bool) -> None:
    from rich.console import Console
    from rich.markdown import Markdown

    from ..doctor.page import explain
    from ..doctor.rule import find_rule

    if not alone:
        raise UsageError(f"--explain stands alone: zerokit doctor --explain {code[:40]}")
    text = explain(find_rule(code))
    console = Console()
    if console.is_terminal:
        console.print(Markdown(text))
    else:
        typer.echo(text, nl=False)


def _show(report: Report) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    for finding in report.findings:
        _show_one(console, finding)
    console.print(_summary(report), markup=False, soft_wrap=True)


def _show_one(console: Console, finding: Finding) -> None:
    from rich.padding import Padding
    from rich.text import Text

    colour = "red" if finding.severity == "error" else "yellow"
    head = Text.assemble((f"{finding.severity} {finding.code}", f"bold {colour}"), "  ", (finding.place, "bold"))
    console.print(head, soft_wrap=True)
    advice = f"{finding.advice}{' --fix does it.' if finding.fixable else ''}"
    for text, style in ((finding.message, ""), (finding.why, "dim"), (advice, "")):
        if console.is_terminal:
            console.print(Padding(Text(text, style), (0, 0, 0, 2)))
        else:
            console.print(Text(f"  {text}"), soft_wrap=True)
    console.print()


def _summary(report: Report) -> str:
    if not report.findings:
        return "Nothing found."
    counts = ((len(report.errors), "error"), (len(report.warnings), "warning"))
    told = [f"{number} {what}{'' if number == 1 else 's'}" for number, what in counts if number]
    return f"{' and '.join(told)}. More about one: zerokit doctor --explain {report.findings[0].code}"
