"""Where a model's weights lie, in which dtype they are loaded, and in which one they are computed."""

from __future__ import annotations

import difflib
from typing import Any, Literal

import torch

from zerokit import settings
from zerokit.errors import UsageError

LoadDtype = torch.dtype | Literal["auto"]

_DTYPES: dict[str, LoadDtype] = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "auto": "auto",
}


def device() -> str:
    """ "cuda" where there is one, a real one or ZeroGPU's, else "cpu".

    On ZeroGPU `torch.cuda.is_available()` is True in the main process too, and what is placed on "cuda" there is
    captured by `spaces` and brought to the card in the worker.
    """
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_dtype(dtype: str | torch.dtype) -> LoadDtype:
    """The dtype to load in: "float16", "bfloat16", "float32", "auto" (as the checkpoint is stored) or torch's own.

    Raises:
        UsageError: `dtype` is none of these.
    """
    if isinstance(dtype, torch.dtype) and dtype in _DTYPES.values():
        return dtype
    if isinstance(dtype, str) and dtype in _DTYPES:
        return _DTYPES[dtype]
    near = difflib.get_close_matches(str(dtype).removeprefix("torch.").lower(), _DTYPES, n=1, cutoff=0.5)
    hint = f' Did you mean "{near[0]}"?' if near else ""
    raise UsageError(f"dtype is {str(dtype)[:40]!r}, and must be one of {', '.join(_DTYPES)}.{hint}")


def compute_dtype(loaded: torch.dtype) -> torch.dtype:
    """The dtype to compute in, where weights were loaded as `loaded`.

    Half precision is for cards. On a CPU, fp16 convolutions take ten times as long as fp32 and batched text three to
    four times; bf16 is close to fp32 only where the CPU has instructions for it.
    """
    if torch.cuda.is_available() and not settings.has_emulated_device():
        return loaded
    if loaded is torch.float16:
        return torch.float32
    if loaded is torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.float32
    return loaded


def packed_bytes(module: torch.nn.Module) -> int:
    """Bytes of all parameters and buffers, shared ones counted once: what ZeroGPU packs and streams to the card."""
    seen: dict[int, int] = {}
    for tensor in (*module.parameters(), *module.buffers()):
        seen[id(tensor)] = tensor.numel() * tensor.element_size()
    return sum(seen.values())


def convert(module: torch.nn.Module, source: torch.dtype, target: torch.dtype) -> None:
    """Turn every tensor of dtype `source` into `target`, one by one, so that no second copy of the model exists."""
    if source == target:
        return
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.dtype == source:
            tensor.data = tensor.data.to(target)


def place(module: torch.nn.Module, *, quantized: bool = False) -> int:
    """Bring a loaded model into its compute dtype and onto its device.

    Args:
        module: loaded on the CPU, in its load dtype.
        quantized: leave dtype and device as the quantizer chose them.

    Returns:
        Its packed bytes, in the dtype it was loaded in: what it takes on a card, also where there is none.
    """
    size = packed_bytes(module)
    if quantized:
        return size
    for loaded in {torch.float16, torch.bfloat16} & {parameter.dtype for parameter in module.parameters()}:
        convert(module, loaded, compute_dtype(loaded))
    _mark_dtype(module)
    module.to(device())
    return size


def attend_without_plans() -> None:
    """Let attention be computed by kernels that take any length; for this process.

    cuDNN's, which torch 2.11 takes first on Hopper cards, make a plan for each length in each thread: a model that
    writes needs one for every token. Measured on an H100: 50 ms instead of 5 ms for the first token of each length
    (docs/reference/real-card.md).
    """
    torch.backends.cuda.enable_cudnn_sdp(False)


def _mark_dtype(module: torch.nn.Module) -> None:
    """Let the model's config say what its weights are now: some models cast their inputs to it."""
    config: Any = getattr(module, "config", None)
    first = next(iter(module.parameters()), None)
    if first is not None and hasattr(config, "dtype"):
        config.dtype = first.dtype
