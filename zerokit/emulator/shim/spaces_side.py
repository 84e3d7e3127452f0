"""The changes in the `spaces` package (0.51.3) while it runs; its files stay as they are."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import httpx

from ...quota.platform import GPU_MODEL
from . import torch_side, worker_faults

# Which fault the scheduler put on the call that this thread has just been granted.
_granted = threading.local()
# Captured tensors and their weights, in memory instead of in the pack on disk.
_packed: list[tuple[Any, Any]] = []


def name_the_card(config: ModuleType) -> None:
    """Let `get_config` find the platform's card, and with it the duration factor (config.py, configs.json).

    Where the machine has a card of its own, the app's main process is told of that one, as on the platform; what is
    reserved stays the platform's.
    """
    config._read_gpu_information = lambda: f"Model: {GPU_MODEL}\n"  # type: ignore[attr-defined]
    card = torch_side.card()
    if card is None:
        return
    own = {"model": card.name, "memory": card.memory_bytes, "sm_major": card.sm_major, "sm_minor": card.sm_minor}
    known = {**config.get_config(), **own}
    config.get_config = lambda: known  # type: ignore[attr-defined]


def watch_answers(client: ModuleType) -> None:
    """Read the fault that comes with an answer; a scheduler that is not there is made here, for it takes a socket."""
    from ..wire import FAULT_HEADER

    api_client = client.api_client

    def on_answer(response: httpx.Response) -> None:
        if not response.request.url.path.endswith("/schedule"):
            return
        fault = response.headers.get(FAULT_HEADER)
        if fault == "refused":
            response.close()
            raise httpx.ConnectError("[Errno 111] Connection refused", request=response.request)
        _granted.fault = fault

    def watched() -> Any:
        api = api_client()
        api.client.event_hooks = {"response": [on_answer]}
        return api

    client.api_client = watched  # type: ignore[attr-defined]


class Context(NamedTuple):
    """What goes to the worker with every call: what `spaces` sends, and the fault of this call."""

    inner: Any
    fault: str | None

    @staticmethod
    def get() -> Context:
        fault, _granted.fault = getattr(_granted, "fault", None), None
        return Context(_inner_context().get(), fault)

    @staticmethod
    def apply(context: Context) -> None:
        _inner_context().apply(context.inner)
        worker_faults.begin(context.fault)


def _inner_context() -> Any:
    from spaces.zero.gradio import GradioPartialContext

    return GradioPartialContext


def carry_faults(wrappers: ModuleType) -> None:
    """Wrap the context that `spaces` passes to the worker with each call (wrappers.py)."""
    wrappers.GradioPartialContext = Context  # type: ignore[attr-defined]


def replace_moves(patching: ModuleType) -> None:
    """Without a card: weights stay in memory, and no CUDA is initialised (torch/patching.py)."""
    if torch_side.card() is not None:
        return
    unpatch = patching.unpatch
    strict = torch_side.is_strict()

    def pack() -> int:
        total = int(patching._total_unpacked_size())
        for fake, original in list(patching.cuda_aliases.items()):
            if original is not None:
                _packed.append((fake, original))
                # As after the real pack: outside a GPU function the weights cannot be computed with.
                patching.cuda_aliases[fake] = None
        return total

    def size() -> int:
        packed = sum(original.numel() * original.element_size() for _, original in _packed)
        return int(patching._total_unpacked_size()) + packed

    def enter_worker() -> None:
        # Under strict the package's own emulation stays on.
        if not strict:
            unpatch()
        torch_side.enter_worker(patching, size())

    def move(callback: Callable[[int], Any] | None = None) -> None:
        total = size()
        pairs = [*_packed, *((f, o) for f, o in patching.cuda_aliases.items() if o is not None)]
        (torch_side.keep_fakes if strict else torch_side.fill_fakes)(patching, pairs)
        if callback is not None and total:
            callback(total)

    patching.pack = pack  # type: ignore[attr-defined]
    patching.size = size  # type: ignore[attr-defined]
    patching.unpatch = enter_worker  # type: ignore[attr-defined]
    patching.init = lambda nvidia_uuid: None  # type: ignore[attr-defined]
    patching.move = move  # type: ignore[attr-defined]
