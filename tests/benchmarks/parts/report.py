"""What a benchmark prints, and what all of them take from the command line."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

_PACKAGES = ("torch", "transformers", "diffusers", "gradio", "spaces")
_console = Console(width=140, highlight=False, soft_wrap=True)


def arguments(description: str | None, *parts: str, flags: Mapping[str, str] | None = None) -> argparse.Namespace:
    """The command line: `--quick`, and `--only` with one of `parts`; `only` is a list of those that are wanted.

    Args:
        description: its first line is shown in the help.
        parts: of the benchmark.
        flags: more that is on or off, by name, with its help.
    """
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: whether it runs, not a figure")
    parser.add_argument("--only", choices=parts, help="leave out the others")
    for name, meaning in (flags or {}).items():
        parser.add_argument(f"--{name}", action="store_true", help=meaning)
    options = parser.parse_args()
    options.only = [options.only] if options.only else list(parts)
    return options


def machine() -> None:
    """Print what a reader must know of the machine to judge the figures."""
    say(
        f"{time.strftime('%Y-%m-%d')} · {_processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} "
        f"at the start · {_memory_bytes() / 2**30:.0f} GiB · {_card()}"
    )
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    say(f"Python {platform.python_version()}, {packages}")


def say(text: str) -> None:
    _console.print(text)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; all columns but the first are numbers."""
    shown = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        shown.add_column(column, justify="right" if number else "left")
    for row in rows:
        shown.add_row(*row)
    _console.print()
    _console.print(shown)


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Median, and in brackets where the middle half lies."""
    if len(values) < 4:
        return f"{statistics.median(values):.{digits}f}"
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all do not exceed; the nearest that was seen, never one between."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _card() -> str:
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU"
