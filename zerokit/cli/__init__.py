"""The `zerokit` command. What a command needs is imported when it runs, so that `zerokit --help` is quick."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from zerokit import __version__
from zerokit.cli.bench import bench
from zerokit.cli.demo import demo
from zerokit.cli.deploy import deploy
from zerokit.cli.dev import dev
from zerokit.cli.doctor import doctor
from zerokit.cli.new import new
from zerokit.cli.status import status
from zerokit.errors import ZeroKitError

app = typer.Typer(
    name="zerokit",
    help="Gradio Spaces on ZeroGPU: try them, run them as on the Hub.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(dev)
app.command()(new)
app.command()(doctor)
app.command()(deploy)
app.command()(status)
app.command()(bench)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"zerokit {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", callback=_show_version, is_eager=True)
    ] = False,
) -> None: ...


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; an error of ZeroKit is shown as title, message and advice, and ends with code 1."""
    try:
        app(args=args, prog_name="zerokit")
    except ZeroKitError as exc:
        show_error(exc)
        sys.exit(1)


def show_error(error: ZeroKitError) -> None:
    """Print what happened and what to do, to stderr."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    console.print(Text(error.title, style="bold red"))
    for line in filter(None, (error.message, error.advice)):
        console.print(Text(line), soft_wrap=True)
