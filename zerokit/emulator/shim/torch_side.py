"""torch without a card: what `spaces` needs to be imported, and what a worker sees instead of a GPU.

*Redirect*, the default: tensors live on the CPU and say so; device arguments of "cuda" are turned into "cpu".
*Strict*: the device emulation of `spaces` stays on in the worker; tensors say cuda:0 and mix-ups are found.
Both hold in every thread that the worker starts: torch's function modes are local to a thread.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from ..cards import Card

# What torch 2.13 is built with; `spaces` only looks at the major version (zero/torch/static.py).
CUDA_VERSION = "13.0"


def is_strict() -> bool:
    return os.environ.get("ZEROKIT_EMULATOR_STRICT") == "1"


def card() -> Card | None:
    """The machine's card, where workers use it (emulator/cards.py)."""
    text = os.environ.get("ZEROKIT_EMULATOR_CARD")
    return Card.from_json(text) if text else None


def is_in_bad_fork() -> bool:
    """Stands in for `torch.cuda._is_in_bad_fork`, a lambda in CPU builds: `spaces` pickles it."""
    return False


def _no_cuda() -> None:
    raise RuntimeError("There is no CUDA on this machine.")


def prepare(torch: ModuleType) -> None:
    """Let `spaces` be imported under a CPU build of torch; under a CUDA build with a card, do nothing."""
    if torch.version.cuda is None:
        torch.version.cuda = CUDA_VERSION
        torch._C._cuda_init = _no_cuda
        torch.cuda._is_in_bad_fork = is_in_bad_fork
    if card() is None:
        os.environ["ZEROKIT_EMULATED_DEVICE"] = "cpu"
        # A CPU build would say that torch was not compiled with CUDA; on ZeroGPU it is `spaces` who speaks.
        torch.cuda._lazy_init = lambda: torch._C._cuda_init()


def enter_worker(patching: ModuleType, used_bytes: int) -> None:
    """In a fresh worker: give it a device to talk about, and each of its threads the mode."""
    from . import facade, modes

    facade.install(patching, strict=is_strict(), used_bytes=used_bytes)
    make_mode = modes.strict_modes(patching) if is_strict() else modes.redirect_modes()
    start = threading.Thread.start

    def start_with_mode(self: threading.Thread) -> None:
        run = self.run

        def run_with_mode() -> None:
            for mode in make_mode():
                mode.__enter__()
            run()

        self.run = run_with_mode  # type: ignore[method-assign]
        start(self)

    threading.Thread.start = start_with_mode  # type: ignore[method-assign]


def fill_fakes(patching: ModuleType, pairs: Iterable[tuple[Any, Any]]) -> None:
    """Redirect: every captured tensor gets its weights; what shared memory shares it again."""
    from spaces.zero.torch.types import AliasId

    seen: dict[Any, Any] = {}
    for fake, original in pairs:
        fake.data = seen.setdefault(AliasId.from_tensor(original), original)


def keep_fakes(patching: ModuleType, pairs: Iterable[tuple[Any, Any]]) -> None:
    """Strict: captured tensors stand for their weights again."""
    for fake, original in pairs:
        patching.cuda_aliases[fake] = original
