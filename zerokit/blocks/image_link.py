"""Settings in a link: the page's address with a query, so that nothing is stored and nothing else goes along.

Gradio's own deep link keeps the values of all components on the server, and among them would be what is left of the
visitor's quota.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from zerokit.pictures.facts import Record, fitting
from zerokit.pictures.loras import kept_adapters

_KINDS = {
    **dict.fromkeys(("prompt", "negative_prompt", "scheduler"), str),
    **dict.fromkeys(("width", "height", "steps", "seed"), int),
    **dict.fromkeys(("guidance", "strength"), float),
}


def record_of(query: Mapping[str, str]) -> Record | None:
    """The settings of a link; None where it has no prompt. What does not fit a field is left out."""
    values: dict[str, Any] = {}
    for name, kind in _KINDS.items():
        if name in query:
            with contextlib.suppress(ValueError):
                values[name] = kind(query[name])
    values = fitting(values)
    with contextlib.suppress(ValueError, RecursionError):
        picked = json.loads(query.get("adapters", "{}"))
        values["adapters"] = kept_adapters(list(picked.items()) if isinstance(picked, dict) else [])
    return Record(**values) if str(values.get("prompt", "")).strip() else None
