"""The machine's CUDA cards, as nvidia-smi tells of them: no CUDA is begun in a process that starts apps."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

_ASKED = "uuid,name,memory.total,compute_cap"


@dataclass(frozen=True)
class Card:
    """One card, in words that `spaces` has for its own (spaces/zero/configs.json)."""

    uuid: str
    name: str
    memory_bytes: int
    sm_major: int
    sm_minor: int

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Card:
        return cls(**json.loads(text))


def usable_cards() -> list[Card]:
    """The cards that apps will use: none without a driver, and none for a torch that is built without CUDA.

    CUDA_VISIBLE_DEVICES holds here too: empty, it keeps an app off the cards of a machine that has some.
    """
    return _visible(_all_cards(), os.environ) if _torch_has_cuda() else []


def _all_cards() -> list[Card]:
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", f"--query-gpu={_ASKED}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [card for line in answer.stdout.splitlines() if (card := _card(line)) is not None]


def _card(line: str) -> Card | None:
    """One line of nvidia-smi; None where it says something else."""
    parts = [part.strip() for part in line.split(",")]
    if len(parts) != 4 or not parts[2].isdigit() or not re.fullmatch(r"\d+\.\d+", parts[3]):
        return None
    major, minor = parts[3].split(".")
    return Card(parts[0], parts[1], int(parts[2]) * 2**20, int(major), int(minor))


def _visible(cards: Sequence[Card], environ: Mapping[str, str]) -> list[Card]:
    """Those that CUDA_VISIBLE_DEVICES names, by number or by the beginning of a UUID; as in CUDA, up to a wrong one."""
    named = environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return list(cards)
    chosen: list[Card] = []
    for name in (part.strip() for part in named.split(",")):
        if name.isdigit():
            found = list(cards[int(name) : int(name) + 1])
        else:
            found = [card for card in cards if name.startswith("GPU-") and card.uuid.startswith(name)]
        if len(found) != 1 or found[0] in chosen:
            break
        chosen += found
    return chosen


def _torch_has_cuda() -> bool:
    """Read from torch's version file, for importing torch takes seconds."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    version = Path(spec.origin).with_name("version.py")
    if not version.is_file():
        return False
    return re.search(r"^cuda\b.*=\s*['\"]", version.read_text("utf-8"), re.MULTILINE) is not None
