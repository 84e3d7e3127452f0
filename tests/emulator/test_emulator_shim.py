"""The shim by itself: hooks after imports, and what it leaves alone where there is a card."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import types

import pytest
import torch

from zerokit.emulator.cards import Card
from zerokit.emulator.shim import gradio_side, hooks, spaces_side, torch_side, worker_faults


@pytest.fixture
def a_card(monkeypatch):
    """As on a machine with a card and a CUDA build of torch."""
    monkeypatch.setenv("ZEROKIT_EMULATOR_CARD", Card("GPU-1234", "NVIDIA Card", 24 * 2**30, 8, 9).to_json())
    monkeypatch.delenv("ZEROKIT_EMULATED_DEVICE", raising=False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")


def test_a_hook_runs_once_after_the_module_and_stays_out_of_sight(tmp_path, monkeypatch):
    (tmp_path / "hooked_module.py").write_text("answer = 41\n\ndef f():\n    return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    seen = []
    hooks.after_import("hooked_module", lambda module: seen.append(module.answer))
    module = importlib.import_module("hooked_module")
    importlib.import_module("hooked_module")
    assert seen == [41]
    assert type(module.__loader__).__name__ == "SourceFileLoader"
    assert "return 1" in inspect.getsource(module.f)
    hooks.after_import("hooked_module", lambda module: seen.append("at once"))
    assert seen == [41, "at once"]
    monkeypatch.delitem(sys.modules, "hooked_module")


def test_a_hook_survives_a_finder_that_asks_all_finders_again(tmp_path, monkeypatch):
    class Asking:
        asked = False

        def find_spec(self, name, path=None, target=None):
            if name == "hooked_again" and not self.asked:
                self.asked = True
                return importlib.util.find_spec(name)
            return None

    (tmp_path / "hooked_again.py").write_text("answer = 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path[:1], Asking(), *sys.meta_path[1:]])
    seen = []
    hooks.after_import("hooked_again", lambda module: seen.append(module.answer))
    importlib.import_module("hooked_again")
    assert seen == [42]
    monkeypatch.delitem(sys.modules, "hooked_again")


def test_with_a_card_nothing_of_torch_is_replaced(a_card):
    before = torch.cuda._lazy_init
    torch_side.prepare(torch)
    assert torch.cuda._lazy_init is before
    patching = types.ModuleType("patching")
    patching.pack = patching.unpatch = patching.init = patching.move = "spaces' own"
    spaces_side.replace_moves(patching)
    assert {patching.pack, patching.unpatch, patching.init, patching.move} == {"spaces' own"}


def test_with_a_card_the_app_is_told_of_that_one_and_pays_as_on_the_platform(a_card):
    config = types.SimpleNamespace(
        get_config=lambda: {"model": "the platform's", "duration_factor": 1.5, "sm_count": 4}
    )
    spaces_side.name_the_card(config)
    known = config.get_config()
    assert (known["model"], known["memory"], known["sm_major"], known["sm_minor"]) == ("NVIDIA Card", 24 * 2**30, 8, 9)
    assert (known["duration_factor"], known["sm_count"]) == (1.5, 4)


def test_a_cuda_build_without_a_card_is_emulated(a_card, monkeypatch):
    monkeypatch.setenv("ZEROKIT_EMULATOR_CARD", "")
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: None)
    before = torch.cuda._lazy_init
    torch_side.prepare(torch)
    assert torch.cuda._lazy_init is not before
    assert os.environ.pop("ZEROKIT_EMULATED_DEVICE") == "cpu"


def test_a_fault_is_over_with_its_call():
    model = torch.nn.Linear(1, 1)
    before = torch.nn.Module.__call__
    worker_faults.begin("oom")
    with pytest.raises(torch.OutOfMemoryError, match=r"Tried to allocate 2\.50 GiB"):
        model(torch.ones(1))
    model(torch.ones(1))
    worker_faults.begin("nan")
    assert model(torch.ones(1)).isnan().all()
    worker_faults.begin(None)
    assert model(torch.ones(1)).isfinite().all()
    assert torch.nn.Module.__call__ is before


COMPONENT = """
from gradio.components import Textbox


class Mine(Textbox):
    EVENTS = ["change"]
"""


@pytest.mark.parametrize("in_the_emulator", [True, False])
def test_gradio_writes_no_stub_of_a_component(tmp_path, monkeypatch, in_the_emulator):
    from gradio import component_meta

    monkeypatch.setattr(component_meta, "create_or_modify_pyi", component_meta.create_or_modify_pyi)
    if in_the_emulator:
        gradio_side.no_stubs(component_meta)
    name = f"with_a_component_{in_the_emulator}"
    (tmp_path / f"{name}.py").write_text(COMPONENT)
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.import_module(name).Mine().get_block_name() == "mine"
    assert (tmp_path / f"{name}.pyi").exists() is not in_the_emulator
