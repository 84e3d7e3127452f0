"""What a GPU function sees of the device, without a card: redirected, and strict."""

from __future__ import annotations

import pytest
from gradio_client.exceptions import AppError


def _check(seen, device):
    assert seen["available"] is True
    assert seen["name"] == "NVIDIA RTX PRO 6000 Blackwell Server Edition"
    assert seen["capability"] == [12, 0]
    assert 0 < seen["allocated"] < seen["free"] < seen["total"]
    assert seen["sum"] == 12
    assert (seen["device"], seen["made"], seen["default"]) == (device, device, device)
    assert (seen["autocast"], seen["half"]) == ("torch.bfloat16", "torch.float16")
    assert all(seen[name] for name in ("same_noise", "generator", "stream", "elapsed"))


def test_redirected(world):
    _check(world.client("probe", "pro").predict(api_name="/facade"), "cpu")


def test_strict(strict_world):
    _check(strict_world.client("probe", "pro").predict(api_name="/facade"), "cuda:0")


def test_threads_of_the_author_see_the_same_device(world, strict_world):
    assert world.client("probe", "pro").predict(api_name="/threads") == [10, 10, 10]
    assert strict_world.client("probe", "pro").predict(api_name="/threads") == [10, 10, 10]


def test_what_a_worker_imports_late_finds_a_torch_it_can_work_with(world):
    """torch's compiler looks through all its functions when it is imported, as by a model that is loaded in a call."""
    assert world.client("probe", "pro").predict(api_name="/late") == "torch._dynamo"


def test_strict_finds_mixed_devices(strict_world, world):
    with pytest.raises(AppError, match="RuntimeError"):
        strict_world.client("probe", "pro").predict(api_name="/mixed")
    strict_world.wait_for_log("probe", "two devices, cuda:0 (ZeroGPU) and cpu")
    assert world.client("probe", "pro").predict(api_name="/mixed") == 10


def test_strict_finds_a_cuda_tensor_in_a_result(strict_world):
    with pytest.raises(AppError, match="PicklingError"):
        strict_world.client("probe", "pro").predict(api_name="/leak")
    strict_world.wait_for_log("probe", "on ZeroGPU this call would hang")
