"""The local ZeroGPU: the platform's other side, for the real `spaces` package on this machine.

with zerokit.emulator.ZeroGPU(visitor="free") as z:
    app = z.run("app.py")
    gradio_client.Client(app.url).predict(...)
    assert z.calls[0].reserved_s == 90
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import App as App
    from .faults import Fault as Fault
    from .local import Visitor as Visitor
    from .local import ZeroGPU as ZeroGPU
    from .records import Call as Call

_HOMES = {"App": "app", "Call": "records", "Fault": "faults", "Visitor": "local", "ZeroGPU": "local"}
__all__ = ["App", "Call", "Fault", "Visitor", "ZeroGPU"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
