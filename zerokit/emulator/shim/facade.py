"""`torch.cuda` in a worker without a card: says what the platform's card says, does nothing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch


class Event:
    """Stands in for `torch.cuda.Event`: work here is done when the call returns."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._at = time.perf_counter()

    def record(self, *args: Any) -> None:
        self._at = time.perf_counter()

    def elapsed_time(self, end: Event) -> float:
        """Milliseconds from this event to `end`."""
        return (end._at - self._at) * 1000

    def synchronize(self) -> None:
        return None

    def wait(self, *args: Any) -> None:
        return None

    def query(self) -> bool:
        return True


class Stream:
    """Stands in for `torch.cuda.Stream`: there is one order of work here."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.device = torch.device("cuda", 0)

    def synchronize(self) -> None:
        return None

    def wait_stream(self, stream: Stream) -> None:
        return None

    def wait_event(self, event: Event) -> None:
        return None

    def record_event(self, event: Event | None = None) -> Event:
        return event or Event()

    def query(self) -> bool:
        return True

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *args: Any) -> None:
        return None


def install(patching: ModuleType, *, strict: bool, used_bytes: int) -> None:
    """Replace what a GPU function may ask or tell the card. `used_bytes`: what the weights take of it."""
    _describe(patching)
    _forget(torch.cuda)
    _measure(patching, used_bytes)
    _seed()
    _stream()
    _autocast()
    if strict:
        _refuse_results(patching)
    else:
        _default_device()
    _generator(strict)


def _describe(patching: ModuleType) -> None:
    cuda: Any = torch.cuda
    cuda.is_available = lambda: True
    cuda.device_count = lambda: 1
    cuda.current_device = lambda: 0
    cuda.is_initialized = lambda: True
    cuda.is_bf16_supported = lambda *args, **kwargs: True
    cuda.get_device_capability = lambda *args, **kwargs: patching.CUDA_DEVICE_CAPABILITY
    cuda.get_device_properties = lambda *args, **kwargs: patching.CUDA_DEVICE_PROPERTIES
    cuda.get_device_name = lambda *args, **kwargs: patching.CUDA_DEVICE_NAME
    cuda.get_arch_list = lambda: ["sm_{}{}".format(*patching.CUDA_DEVICE_CAPABILITY)]
    accelerator: Any = torch.accelerator
    accelerator.is_available = lambda: True
    accelerator.device_count = lambda: 1
    accelerator.current_accelerator = lambda *args, **kwargs: torch.device("cuda")
    for name in ("synchronize", "empty_cache"):
        if hasattr(accelerator, name):
            setattr(accelerator, name, _nothing())


def _nothing() -> Callable[..., None]:
    """One of its own for each name: torch._dynamo, which a worker may import, refuses one that stands for several."""
    return lambda *args, **kwargs: None


def _forget(cuda: Any) -> None:
    for name in (
        "init", "_lazy_init", "_lazy_call", "synchronize", "empty_cache", "ipc_collect", "set_device",
        "reset_peak_memory_stats", "reset_max_memory_allocated", "reset_max_memory_cached",
        "reset_accumulated_memory_stats", "set_per_process_memory_fraction",
    ):  # fmt: skip
        setattr(cuda, name, _nothing())
    cuda.memory.empty_cache = cuda.empty_cache
    cuda._exchange_device = cuda._maybe_exchange_device = lambda device: 0


def _measure(patching: ModuleType, used_bytes: int) -> None:
    free_bytes, total_bytes = patching.CUDA_MEM_GET_INFO
    stats = patching.CUDA_MEMORY_STATS_AS_NESTED_DICT
    cuda: Any = torch.cuda
    for where in (cuda, cuda.memory):
        for name in ("memory_allocated", "max_memory_allocated", "memory_reserved", "max_memory_reserved"):
            setattr(where, name, lambda *args, **kwargs: used_bytes)
        where.mem_get_info = lambda *args, **kwargs: (max(0, free_bytes - used_bytes), total_bytes)
        where.memory_summary = lambda *args, **kwargs: f"{used_bytes} bytes of weights on an emulated card"
    cuda.memory.memory_stats_as_nested_dict = lambda *args, **kwargs: stats
    cuda.cudart = lambda: patching.cudart


def _seed() -> None:
    generator = torch.default_generator
    cuda: Any = torch.cuda
    for where in (cuda, cuda.random):
        where.manual_seed = where.manual_seed_all = lambda seed: generator.manual_seed(int(seed)) and None
        where.seed = where.seed_all = lambda: generator.seed() and None
        where.initial_seed = generator.initial_seed
        where.get_rng_state = lambda *args, **kwargs: generator.get_state()
        where.get_rng_state_all = lambda: [generator.get_state()]
        where.set_rng_state = lambda state, *args, **kwargs: generator.set_state(state) and None
        where.set_rng_state_all = lambda states: generator.set_state(next(iter(states))) and None


def _stream() -> None:
    cuda: Any = torch.cuda
    default = Stream()
    cuda.Event, cuda.Stream = Event, Stream
    cuda.current_stream = cuda.default_stream = lambda *args, **kwargs: default
    cuda.stream = lambda stream: contextlib.nullcontext(stream)
    cuda.set_stream = _nothing()


def _autocast() -> None:
    """`torch.autocast("cuda")` computes here in the same dtype, by the CPU's autocast."""
    autocast: Any = torch.autocast
    init = autocast.__init__

    def init_on_cpu(self: Any, device_type: str, dtype: Any = None, *args: Any, **kwargs: Any) -> None:
        if device_type == "cuda":
            device_type, dtype = "cpu", dtype or torch.get_autocast_dtype("cuda")
        init(self, device_type, dtype, *args, **kwargs)

    autocast.__init__ = init_on_cpu


def _default_device() -> None:
    """`with torch.device("cuda"):` and `torch.set_default_device` mean the CPU."""
    from torch.utils._device import DeviceContext

    context: Any = DeviceContext
    init = context.__init__

    def init_on_cpu(self: Any, device: Any) -> None:
        init(self, "cpu" if torch.device(device).type == "cuda" else device)

    context.__init__ = init_on_cpu


def _generator(strict: bool) -> None:
    """`torch.Generator(device="cuda")`, which is a class and passes by every function mode."""
    original = torch.Generator

    class Meta(type(original)):  # type: ignore[misc]
        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, original)

        def __subclasscheck__(cls, subclass: Any) -> bool:
            return issubclass(subclass, original)

        def __call__(cls, device: Any = "cpu") -> Any:
            on_card = torch.device(device).type == "cuda"
            made = (_CudaGenerator if on_card and strict else original)("cpu" if on_card else device)
            return made

    class _CudaGenerator(original):  # type: ignore[misc, valid-type]
        @property
        def device(self) -> torch.device:
            return torch.device("cuda", 0)

    class Generator(original, metaclass=Meta):  # type: ignore[misc, valid-type]
        pass

    torch.Generator = Generator  # type: ignore[misc]


def _refuse_results(patching: ModuleType) -> None:
    """A CUDA tensor in a result hangs a call on the platform; here it says so."""
    from multiprocessing.reduction import ForkingPickler

    from torch.multiprocessing import reductions

    reduce: Any = reductions.reduce_tensor

    def reduce_tensor(tensor: torch.Tensor) -> Any:
        if tensor in patching.cuda_aliases:
            raise RuntimeError("Cannot pickle a CUDA tensor: on ZeroGPU this call would hang. Return tensor.cpu().")
        return reduce(tensor)

    ForkingPickler.register(torch.Tensor, reduce_tensor)
    ForkingPickler.register(torch.nn.Parameter, reduce_tensor)
