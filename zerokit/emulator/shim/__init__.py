"""What runs inside the app's process so that the real `spaces` meets the emulator.

Every change is made right after the module it changes was imported, so an app's own order of imports stays what it
is. Where the machine has a CUDA card and a CUDA build of torch, nothing of torch is changed.
"""

from __future__ import annotations

from .hooks import after_import


def install() -> None:
    """Register everything; nothing heavy is imported yet."""
    from . import gradio_side, spaces_side, torch_side

    after_import("torch", torch_side.prepare)
    after_import("spaces.zero.config", spaces_side.name_the_card)
    after_import("spaces.zero.client", spaces_side.watch_answers)
    after_import("spaces.zero.wrappers", spaces_side.carry_faults)
    after_import("spaces.zero.torch.patching", spaces_side.replace_moves)
    after_import("gradio.component_meta", gradio_side.no_stubs)
    after_import("gradio.routes", gradio_side.add_identity)
    after_import("gradio.http_server", gradio_side.no_hot_reload)
    after_import("uvicorn.server", gradio_side.report_address)
