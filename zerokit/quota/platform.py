"""What the platform grants and charges, read from platform.toml, and the arithmetic of a reservation.

Source of the arithmetic: `spaces` 0.51.3, `zero/client.py` (`get_duration_seconds`, `schedule`): the declared
seconds are cut to whole ones, multiplied by the card's duration factor for `large`, rounded, and sent; `xlarge`
is sent as declared and costs twice.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from typing import Any, Literal

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Plan:
    """What one kind of visitor gets in a day."""

    name: str
    label: str
    base_s: int
    """GPU seconds in a window of `WINDOW_S`."""
    cap_s: int
    """The longest reservation that is accepted, in seconds."""
    priority: int
    """Rank in the queue; higher is served first."""
    overquota: bool
    """Whether calls beyond the base are paid from credits."""
    runs: int | None = None
    """Calls in a window; None: no limit seen."""
    auth: Literal["regular", "pro"] | None = None
    """The scheduler's X-Authenticated header."""
    hosts: int = 0
    """ZeroGPU Spaces that it may have."""


@dataclass(frozen=True)
class Size:
    """A share of the card."""

    label: str
    vram_bytes: int
    granted_factor: float
    reserved_factor: float


def _load() -> dict[str, Any]:
    return tomllib.loads(files("zerokit.quota").joinpath("platform.toml").read_text("utf-8"))


_FACTS = _load()
GPU_MODEL: str = _FACTS["gpu"]["model"]
WINDOW_S: int = _FACTS["gpu"]["window_s"]
QUEUE_TIMEOUT_S: int = _FACTS["gpu"]["queue_timeout_s"]
DEFAULT_DECLARED_S: int = _FACTS["gpu"]["default_declared_s"]
ZERO_GPU: str = _FACTS["space"]["hardware"]
SPACE_REPO_BYTES: int = _FACTS["space"]["repo_bytes"]
PLANS: Mapping[str, Plan] = {name: Plan(name=name, **facts) for name, facts in _FACTS["plan"].items()}
SIZES: Mapping[str, Size] = {name: Size(**facts) for name, facts in _FACTS["size"].items()}
SUPPORTED_PYTHON: tuple[str, ...] = tuple(_FACTS["supported"]["python"])
SUPPORTED_TORCH: tuple[str, ...] = tuple(_FACTS["supported"]["torch"])
LEAST_GRADIO: str = _FACTS["supported"]["gradio_least"]
BILLED_GRADIO: str = _FACTS["supported"]["gradio_billed"]
"""The first Gradio whose lazily cached examples are the visitor's, not the Space's."""
COMPILED_PACKAGES: tuple[str, ...] = tuple(_FACTS["compiled"]["packages"])
"""Packages without wheels, which a Space's build cannot compile."""


def plan(name: str) -> Plan:
    """The plan of that name.

    Raises:
        ValueError: there is none; the message names the nearest.
    """
    return _named(PLANS, "plan", name)


def size(name: str | None) -> Size:
    """The size of that name; None is `large`, as `spaces.GPU` takes it."""
    return _named(SIZES, "size", "large" if name is None else name)


def granted_s(declared_s: float, size_name: str | None = None, factor: float | None = None) -> int:
    """Wall seconds a call may hold the GPU before it is killed.

    Args:
        declared_s: seconds that the function asks for; fractions are cut as the platform cuts them.
        size_name: "large", "xlarge" or None (large).
        factor: the card's duration factor where the installed `spaces` knows it better than platform.toml.
    """
    per_second = size(size_name).granted_factor
    if factor is not None and size_name != "xlarge":
        per_second = factor
    return round(_cut(declared_s) * per_second)


def reserved_s(declared_s: float, size_name: str | None = None, factor: float | None = None) -> int:
    """Seconds that the platform compares with what the visitor has left. Arguments as in `granted_s`."""
    if size_name == "xlarge":
        return round(_cut(declared_s) * size("xlarge").reserved_factor)
    return granted_s(declared_s, size_name, factor)


def declared_for(wall_s: float, size_name: str | None = None, factor: float | None = None) -> int:
    """The fewest whole seconds to declare so that a call of `wall_s` seconds is not killed; at least 1."""
    per_second = granted_s(1_000_000, size_name, factor) / 1_000_000
    declared = max(1, math.floor(max(0.0, wall_s - 1) / per_second))
    while granted_s(declared, size_name, factor) < wall_s:
        declared += 1
    return declared


def declared_within(reserved_at_most_s: float, size_name: str | None = None, factor: float | None = None) -> int:
    """The most whole seconds to declare so that at most that many are reserved; 0 when not even 1 fits."""
    per_second = reserved_s(1_000_000, size_name, factor) / 1_000_000
    declared = max(0, math.floor((reserved_at_most_s + 1) / per_second))
    while declared and reserved_s(declared, size_name, factor) > reserved_at_most_s:
        declared -= 1
    return declared


def _cut(declared_s: float) -> int:
    if not math.isfinite(declared_s) or declared_s < 0:
        raise ValueError(f"A duration is a number of seconds from 0 up, not {declared_s!r}.")
    return int(declared_s)


def _named(table: Mapping[str, Any], kind: str, name: str) -> Any:
    if isinstance(name, str) and name in table:
        return table[name]
    near = get_close_matches(str(name), table, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"There is no {kind} {name!r}: it is one of {', '.join(table)}.{hint}")
