"""A plain Space on the card: packed to disk, streamed to the card, kept warm, killed in time, and gone afterwards."""

from __future__ import annotations

import pytest
from card_world import APPS, Apps, until, used_bytes
from gradio_client.exceptions import AppError

from zerokit.emulator import ZeroGPU
from zerokit.emulator.processes import gone, group_members

SLACK_BYTES = 2**30
"""Other programs of the machine may take a little more or less of the card meanwhile."""


@pytest.fixture(scope="module")
def plain(scratch):
    before = used_bytes()
    with ZeroGPU("pro", gpus=1, record=scratch / "calls.jsonl") as z:
        apps = Apps(z, [APPS / "plain.py"], scratch)
        yield apps
        apps.close()
        group = apps.running["plain"].process.pid
    assert group_members(group) == []
    until(lambda: used_bytes() < before + SLACK_BYTES)


def test_the_main_process_packs_the_weights_and_never_has_the_card(plain, card):
    seen = plain.ask("plain", "main")
    assert seen["forged"] == []
    assert (seen["begun"], seen["on_card"]) == (False, [])
    assert (seen["name"], seen["capability"]) == (card.name, [card.sm_major, card.sm_minor])
    assert len(seen["packed"]) == 1
    assert seen["weights"] <= seen["packed"][0] < 1.01 * seen["weights"]
    assert seen["resident"] < seen["weights"]
    assert "ZeroGPU tensors packing" in plain.running["plain"].log()


def test_a_cold_call_brings_the_weights_to_the_card(plain, card):
    weights = plain.ask("plain", "main")["weights"]
    seen = plain.ask("plain", "look")
    assert plain.last.cold is True
    assert seen["forged"] == []
    assert (seen["name"], seen["capability"]) == (card.name, [card.sm_major, card.sm_minor])
    assert card.uuid.endswith(seen["uuid"])
    assert (seen["devices"], seen["right"], seen["shares"]) == (["cuda:0"], True, True)
    assert seen["allocated"] >= weights
    assert used_bytes() > weights


def test_a_warm_call_finds_its_worker_again(plain):
    first, cold = plain.ask("plain", "look"), plain.last
    second, warm = plain.ask("plain", "look"), plain.last
    assert first["pid"] == second["pid"]
    assert (warm.cold, warm.pids, warm.outcome) == (False, cold.pids, "done")
    assert plain.z.workers == [second["pid"]]


def test_a_call_over_its_time_is_killed_and_its_memory_is_free(plain):
    plain.ask("plain", "look")
    with pytest.raises(AppError, match="GPU task aborted"):
        plain.ask("plain", "hold", 60, 1)
    killed = plain.last
    assert (killed.outcome, killed.reserved_s) == ("killed", 2)
    assert 2 <= killed.used_s < 4
    until(lambda: gone(killed.pids[0]))
    assert plain.z.workers == []
    assert plain.ask("plain", "look")["right"] is True
    assert plain.last.cold is True


def test_a_worker_gets_the_card_when_the_one_before_has_let_go_of_it(plain):
    weights = plain.ask("plain", "main")["weights"]
    for _ in range(3):
        assert plain.ask("plain", "hoard", 0.9) > 0.5
        assert plain.last.cold is True
        assert plain.ask("plain", "need", 0.6) == pytest.approx(0.6, abs=0.01)
        assert (plain.last.cold, plain.last.outcome) == (True, "done")
    assert used_bytes() > weights
