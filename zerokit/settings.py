"""The environment, read when it is needed, in one place."""

from __future__ import annotations

import os
from pathlib import Path


def _flag(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("1", "t", "true")


def on_zero_gpu() -> bool:
    """Whether this program runs on ZeroGPU, the real one or the local one.

    Read with the names that `spaces` itself accepts (`spaces/config.py`, 0.51.3).
    """
    return _flag("SPACES_ZERO_GPU")


def has_emulated_device() -> bool:
    """Whether "cuda" is the local ZeroGPU's stand-in on a CPU, where fp16 is slow."""
    return os.environ.get("ZEROKIT_EMULATED_DEVICE") == "cpu"


def hub_endpoint() -> str:
    """Where the Hub is, without a slash at the end."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def in_space() -> bool:
    """Whether this program runs in a Space."""
    return bool(os.environ.get("SPACE_ID"))


def has_oauth() -> bool:
    """Whether visitors can sign in to this Space (its card says `hf_oauth: true`)."""
    return bool(os.environ.get("OAUTH_CLIENT_ID"))


def calibration_path() -> Path | None:
    """Where learned durations are kept: ZEROKIT_HOME, the Space's /data when it has one, else the user's cache.

    `ZEROKIT_HOME=off` keeps them in memory only.
    """
    home = os.environ.get("ZEROKIT_HOME")
    if home == "off":
        return None
    if home:
        return Path(home).expanduser() / "durations.json"
    if in_space() and os.access("/data", os.W_OK):
        return Path("/data/.zerokit/durations.json")
    return Path.home() / ".cache" / "zerokit" / "durations.json"
