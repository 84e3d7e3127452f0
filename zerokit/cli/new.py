"""`zerokit new`: a Space from a template."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zerokit.errors import UsageError

if TYPE_CHECKING:
    from zerokit.templates import Choice

AUTO = "auto"


def new(
    template: Annotated[
        str, typer.Argument(metavar="TEMPLATE", help="Which one. Without it, or with `auto`, the one for --model.")
    ],
    to: Annotated[Path | None, typer.Argument(metavar="DIR", help="The folder to make.")] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="OWNER/NAME", help="A chat model, an image model or an adapter on the Hub."),
    ] = None,
    title: Annotated[str | None, typer.Option(help="What the Space is called.")] = None,
    bundle: Annotated[
        bool, typer.Option("--bundle", help="Put ZeroKit itself into the folder, as no package index has it yet.")
    ] = False,
) -> None:
    """Make a Space from a template: chat, diffusion, lora-chat, lora-diffusion, gpu-function, quota-component, studio
    or batch."""
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    from zerokit.templates import choose, create

    disable_progress_bars()
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # what it warns of at import concerns nobody here
    name, folder = _named(template, to, model)
    choice = choose(name, model)
    files = create(choice, folder, title=title, bundled=bundle)
    _report(choice, folder, files, bundle)


def _named(template: str, to: Path | None, model: str | None) -> tuple[str, Path]:
    """The template and the folder; where only one of them is given, it is the folder if a model tells the template."""
    from zerokit.templates import TEMPLATES

    if to is not None:
        return template, to
    if template in (*TEMPLATES, AUTO):
        raise UsageError(f"Say where to: zerokit new {template} my-space")
    if model is None:
        raise UsageError(
            f"Say which template: zerokit new chat {shlex.quote(template)}. There are {', '.join(TEMPLATES)}."
        )
    return AUTO, Path(template)


def _report(choice: Choice, folder: Path, files: list[Path], bundled: bool) -> None:
    """What was made, and what to do next."""
    made = ", ".join([*(file.name for file in files), *(["zerokit/"] if bundled else [])])
    typer.echo(f"{folder}: {choice.template.what} ({made})")
    if choice.model is not None:
        base = "" if choice.model.base is None else f", an adapter for {choice.model.base}"
        typer.echo(f"Its model: {choice.model.name}{base}")
    where = shlex.quote(str(folder))
    app = shlex.quote(str(folder / "app.py"))
    typer.echo("\nNext:")
    typer.echo(f"  ZEROKIT_MODEL=embedded zerokit dev {app}  # try it here, with nothing to download")
    typer.echo(f"  zerokit doctor {where}  # what would break on ZeroGPU")
    typer.echo(f"  zerokit deploy {where} --space YOUR-NAME/{shlex.quote(folder.resolve().name)}  # put it on the Hub")
