"""What is known of the visitor before a call."""

from __future__ import annotations

from typing import Any

import gradio as gr

from zerokit.quota import hub
from zerokit.quota.state import MeterState, advance


def left_s(token: gr.OAuthToken | None, meter: Any = None) -> float | None:
    """What the visitor is known to have left at most; None: not known, or more can be paid from credits."""
    quota = hub.fetch(token.token) if token else None
    state = advance(MeterState.from_value(meter), quota, signed_in=token is not None)
    return None if state.exactness == "unknown" or state.overquota else state.left_s
