"""Writes what the commands say of themselves into docs/reference/cli.md, between its marks; the rest is prose.

`python docs/cli.py` after a change of a command. One that the page does not have yet gets a section before the last.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer.main
from typer.core import TyperArgument

from zerokit import cli

PAGE = Path(__file__).parent / "reference" / "cli.md"
PART = re.compile(r"<!-- zerokit (\S+), by docs/cli\.py -->\n.*?<!-- end -->\n", re.DOTALL)
LAST = "## Environment\n"


def main() -> None:
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")


def written(page: str) -> str:
    """The page with what its commands say today.

    Raises:
        KeyError: it has a part of a command that is no more.
    """
    commands = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]  # the app is a group
    for name in commands.keys() - set(PART.findall(page)):
        page = page.replace(LAST, f"## `zerokit {name}`\n\n{part(name, commands[name])}\n{LAST}")
    return PART.sub(lambda match: part(match[1], commands[match[1]]), page)


def part(name: str, command: Any) -> str:
    """What a command says of itself: what it does, how it is called, its arguments and options."""
    shown = [param for param in command.params if not param.hidden]
    arguments = [_metavar(param) for param in shown if isinstance(param, TyperArgument)]
    lines = [f"<!-- zerokit {name}, by docs/cli.py -->", command.help.replace("\b\n", "").strip(), ""]
    lines += ["```text", " ".join(["zerokit", name, "[OPTIONS]", *arguments]), "```", ""]
    if shown:
        lines += ["| argument or option | meaning |", "|---|---|", *(_row(param) for param in shown), ""]
    return "\n".join([*lines, "<!-- end -->", ""])


def _row(param: Any) -> str:
    if isinstance(param, TyperArgument):
        names = f"`{_metavar(param).strip('[]').removeprefix('-- ')}`"
    else:
        value = f" {param.metavar}" if param.metavar else ""
        names = ", ".join(f"`{name}{value}`" for name in [*param.opts, *param.secondary_opts])
    text = (param.help or "").replace("|", "\\|")
    return f"| {names} | {text}{_default(param)} |"


def _default(param: Any) -> str:
    if not param.show_default or param.default in (None, False, "", [], ()):
        return ""
    return f" Default: `{param.opts[0] if param.default is True else param.default}`."


def _metavar(param: Any) -> str:
    metavar = param.metavar or param.name.upper()
    return metavar if param.required or metavar.startswith("[") else f"[{metavar}]"


if __name__ == "__main__":
    main()
