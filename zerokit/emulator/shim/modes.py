"""The two function modes of a worker without a card. Imported in the worker only."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_CPU = torch.device("cpu")
_TO, _CUDA, _TYPE = torch.Tensor.to, torch.Tensor.cuda, torch.Tensor.type


def is_cuda(device: Any) -> bool:
    """Whether a device argument means the card: "cuda", "cuda:0", an index, a torch.device."""
    if isinstance(device, str):
        return device.startswith("cuda")
    if isinstance(device, torch.device):
        return device.type == "cuda"
    return isinstance(device, int) and not isinstance(device, bool)


class RedirectMode(TorchFunctionMode):
    """Turns "cuda" into "cpu" wherever a device can stand, and is otherwise as thin as can be."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if kwargs:
            device = kwargs.get("device")
            if device is not None and is_cuda(device):
                kwargs["device"] = _CPU
        if func in _SPECIAL:
            return _SPECIAL[func](*args, **(kwargs or {}))
        return func(*args, **kwargs) if kwargs else func(*args)


def _to(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    if args and not isinstance(args[0], torch.Tensor) and is_cuda(args[0]):
        args = (_CPU, *args[1:])
    return tensor.to(*args, **kwargs)


def _cuda(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    memory_format = kwargs.get("memory_format", torch.preserve_format)
    return tensor.to(_CPU, memory_format=memory_format)


def _type(tensor: torch.Tensor, dtype: Any = None, **kwargs: Any) -> Any:
    if isinstance(dtype, str):
        dtype = dtype.replace("torch.cuda.", "torch.")
    return tensor.type(dtype, **kwargs) if dtype is not None else tensor.type()


def _itself(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    return tensor


_SPECIAL: dict[Any, Callable[..., Any]] = {
    _TO: _to,
    _CUDA: _cuda,
    _TYPE: _type,
    torch.Tensor.pin_memory: _itself,
    torch.Tensor.record_stream: lambda *args, **kwargs: None,
    torch.Tensor.get_device: lambda tensor: 0,
}


def redirect_modes() -> Callable[[], list[TorchFunctionMode]]:
    """The modes that each thread of the worker enters."""
    return lambda: [RedirectMode()]


def strict_modes(patching: ModuleType) -> Callable[[], list[Any]]:
    """As `redirect_modes`, with the emulation of `spaces` itself, corrected where a real card allows more."""
    from torch.utils import _device as default_device

    aliases = patching.cuda_aliases
    constructors = default_device._device_constructors()

    class StrictMode(patching.ZeroGPUFunctionMode):  # type: ignore[misc, name-defined]
        def __torch_function__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            kwargs = dict(kwargs or {})
            if func == torch.Tensor.is_cuda.__get__ or func == torch.Tensor.get_device:  # type: ignore[attr-defined]
                on_card = args[0] in aliases
                return (0 if on_card else -1) if func == torch.Tensor.get_device else on_card
            if func in (torch.Tensor.pin_memory, torch.Tensor.record_stream):
                return args[0] if func == torch.Tensor.pin_memory else None
            default = default_device.CURRENT_DEVICE
            if default is not None and is_cuda(default) and func in constructors and kwargs.get("device") is None:
                kwargs["device"] = "cuda"
            args = (*args[:1], *(_as_scalars(arg, aliases, patching, args, kwargs) for arg in args[1:]))
            if args and _is_scalar(args[0], aliases) and not _is_in_place(func):
                args = (_as_scalars(args[0], aliases, patching, args, kwargs), *args[1:])
            return super().__torch_function__(func, types, args, kwargs)

    dispatch = patching.DefaultDispatchMode
    return lambda: [StrictMode(), dispatch()]


def _is_scalar(value: Any, aliases: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim == 0 and value not in aliases and value.device == _CPU


def _is_in_place(func: Any) -> bool:
    name = getattr(func, "__name__", "")
    return (name.endswith("_") and not name.endswith("__")) or name in ("__set__", "__setitem__", "to", "cpu", "cuda")


def _as_scalars(value: Any, aliases: Any, patching: ModuleType, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A 0-dimensional CPU tensor beside CUDA ones is let through, as a real card does (every diffusers scheduler)."""
    if not _is_scalar(value, aliases):
        return value
    others = [a for a in (*args, *kwargs.values()) if isinstance(a, torch.Tensor) and a is not value]
    if not any(other in aliases for other in others):
        return value
    fake = patching.empty_fake(value)
    aliases[fake] = value
    return fake
