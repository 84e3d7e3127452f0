"""Which cards the local ZeroGPU uses: what nvidia-smi says, what the environment leaves of it, what torch can do."""

from __future__ import annotations

import importlib.machinery
import importlib.util

import pytest

from zerokit.emulator import cards
from zerokit.emulator.cards import Card
from zerokit.emulator.local import ZeroGPU

ONE = "GPU-1a2b3c4d-0000-0000-0000-000000000001"
TWO = "GPU-1a2b9999-0000-0000-0000-000000000002"
TOLD = f"{ONE}, NVIDIA H100 80GB HBM3, 81559, 9.0\n{TWO}, NVIDIA GeForce RTX 4090, 24564, 8.9\n"


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with two cards and a CUDA build of torch; more of what nvidia-smi and torch say, if given."""

    def set_up(told=TOLD, code=0, cuda="Optional[str] = '13.0'"):
        smi = tmp_path / "nvidia-smi"
        smi.write_text(f"#!/bin/sh\ncat <<END\n{told}END\nexit {code}\n")
        smi.chmod(0o755)
        (tmp_path / "version.py").write_text(f"__version__ = '2.11'\ncuda: {cuda}\nhip: Optional[str] = None\n")
        spec = importlib.machinery.ModuleSpec("torch", None, origin=str(tmp_path / "__init__.py"))
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        return monkeypatch

    return set_up


def test_the_cards_that_nvidia_smi_tells_of(machine):
    machine()
    assert cards.usable_cards() == [
        Card(ONE, "NVIDIA H100 80GB HBM3", 81559 * 2**20, 9, 0),
        Card(TWO, "NVIDIA GeForce RTX 4090", 24564 * 2**20, 8, 9),
    ]
    assert Card.from_json(cards.usable_cards()[0].to_json()) == cards.usable_cards()[0]


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ("", 0),
        (TOLD, 9),
        ("NVIDIA-SMI has failed because it could not communicate with the driver.\n", 0),
        (f"{ONE}, NVIDIA Card, [N/A], 9.0\n", 0),
        (f"{ONE}, NVIDIA Card, 81559, [N/A]\n", 0),
    ],
)
def test_a_driver_that_tells_of_none(machine, told, code):
    machine(told, code)
    assert cards.usable_cards() == []


def test_no_driver_and_no_card(machine, tmp_path):
    machine()
    (tmp_path / "nvidia-smi").unlink()
    assert cards.usable_cards() == []


def test_a_torch_without_cuda_uses_no_card(machine):
    machine(cuda="Optional[str] = None")
    assert cards.usable_cards() == []


@pytest.mark.parametrize(
    ("named", "left"),
    [
        ("", []),
        ("-1", []),
        ("1", [TWO]),
        ("1,0", [TWO, ONE]),
        ("0,0", [ONE]),
        ("0,7,1", [ONE]),
        (TWO, [TWO]),
        ("GPU-1a2b9", [TWO]),
        ("GPU-1a2b", []),
        ("none of them", []),
    ],
)
def test_the_environment_chooses_among_them(machine, named, left):
    machine().setenv("CUDA_VISIBLE_DEVICES", named)
    assert [card.uuid for card in cards.usable_cards()] == left


def test_the_scheduler_hands_out_the_cards_in_turn(machine):
    machine()
    z = ZeroGPU(gpus=3)
    assert [gpu.uuid for gpu in z._scheduler.gpus] == [ONE, TWO, ONE]
    machine(cuda="None")
    assert [gpu.uuid for gpu in ZeroGPU(gpus=2)._scheduler.gpus] == ["GPU-zerokit-0", "GPU-zerokit-1"]
