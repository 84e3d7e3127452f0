"""Results on their way out of a worker: pickled there, on the CPU.

A CUDA tensor that is returned by a worker hangs the call (`spaces`), so every tensor is brought to the CPU while it is
pickled, however deep it lies; what cannot be pickled at all is a BadResult with the reason, not a silent end.
"""

from __future__ import annotations

import io
import pickle
import sys
from typing import Any

from ..errors import BadResult


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        torch = sys.modules.get("torch")
        if torch is None or not isinstance(obj, torch.Tensor):
            return NotImplemented
        plain = obj.detach()
        if plain.device.type != "cpu":
            plain = plain.cpu()
        elif plain.layout == torch.strided and plain.untyped_storage().nbytes() > plain.numel() * plain.element_size():
            plain = plain.clone()  # a view takes all of its storage along, however little it shows
        return plain.__reduce_ex__(pickle.HIGHEST_PROTOCOL)


def wrap(value: Any) -> bytes:
    """Pickle `value` with every tensor on the CPU.

    Raises:
        BadResult: it cannot be pickled (a lambda, an open file, a lock, a generator).
    """
    buffer = io.BytesIO()
    try:
        _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    except Exception as exc:
        raise BadResult("The function returned something that cannot leave the GPU.") from exc
    return buffer.getvalue()


def unwrap(parcel: bytes) -> Any:
    """The value again, in the main process; the bytes come from our own worker only."""
    return pickle.loads(parcel)
