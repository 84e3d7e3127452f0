"""Spaces written down in a few lines, for the doctor's tests."""

from __future__ import annotations

from zerokit.doctor import examine

CARD = """---
title: Test
sdk: gradio
sdk_version: 6.31.0
python_version: "3.12"
hf_oauth: true
hf_oauth_scopes:
  - read-billing
suggested_hardware: zero-a10g
---
"""
APP = """import spaces
import torch


@spaces.GPU(duration=5)
def add(a, b):
    return (torch.tensor(a).cuda() + b).item()
"""
GOOD = {"README.md": CARD, "app.py": APP, "requirements.txt": "torch\n"}


def write(folder, **files):
    """A good Space with some files changed, or left out where they are None; a double underscore is a dot."""
    named = {name.replace("__", "."): text for name, text in files.items()}
    for name, text in {**GOOD, **named}.items():
        if text is not None:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def codes(folder):
    """The codes that the doctor finds, once each."""
    return sorted({finding.code for finding in examine(folder).findings})
