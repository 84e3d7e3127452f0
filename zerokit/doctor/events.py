"""Which functions of a Space a visitor's click runs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from .gpu import GPU, GPUFunction
from .program import Function, Program
from .source import Module, keyword

EVENTS = {
    *("apply", "blur", "change", "clear", "click", "copy", "delete", "download", "edit", "example_select", "expand"),
    *("failure", "focus", "input", "key_up", "like", "load", "option_select", "pause", "play", "preview_open"),
    *("release", "retry", "select", "start_recording", "stop", "stop_recording", "stream", "submit", "success"),
    *("then", "tick", "undo", "upload"),
}
"""Methods of Gradio's components that take a function (gradio 6.31, `gradio/events.py`)."""
INTERFACES = ("gradio.Interface", "gradio.ChatInterface")
CHAINED = ("then", "success", "failure")


@dataclass(frozen=True, eq=False)
class Event:
    """One place where a function is given to Gradio."""

    module: Module
    call: ast.Call
    kind: str
    """ "click", "then", "Interface", "ChatInterface", "on", "Examples"."""
    handler: Function | None
    gpu: GPUFunction | None


def find_events(program: Program, gpu: GPU) -> list[Event]:
    """Every event of the Space whose function can be told."""
    return [event for module in program.modules for event in _events_in(program, gpu, module)]


def _events_in(program: Program, gpu: GPU, module: Module) -> Iterator[Event]:
    for call, full in program.calls(module):
        kind, given = _given(call, full)
        if not kind or given is None:
            continue
        called = gpu.called(module, given)
        handler = (
            called.function if called is not None else program.function(module, given, program.scope(module, call))
        )
        if handler is not None:
            yield Event(module, call, kind, handler, called)


def _given(call: ast.Call, full: str) -> tuple[str, ast.expr | None]:
    """What kind of event a call makes, and the expression for its function."""
    fn = keyword(call, "fn")
    if full in INTERFACES:
        return full.rpartition(".")[2], fn or (call.args[0] if call.args else None)
    if full == "gradio.on":
        return "on", fn or (call.args[1] if len(call.args) > 1 else None)
    if full == "gradio.Examples":
        return "Examples", fn or (call.args[3] if len(call.args) > 3 else None)
    if isinstance(call.func, ast.Attribute) and call.func.attr in EVENTS:
        return call.func.attr, fn or (call.args[0] if call.args else None)
    return "", None
