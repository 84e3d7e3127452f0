"""The rules, in files by subject."""

from __future__ import annotations

import importlib

SUBJECTS = ("files", "startup", "loading", "durations", "calls", "page", "safety", "own_gpu")


def load() -> None:
    """Import every file of rules, which adds them to the list."""
    for subject in SUBJECTS:
        importlib.import_module(f".{subject}", __name__)
