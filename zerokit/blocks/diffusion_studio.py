"""An image page that works: its components, connected."""

from __future__ import annotations

from zerokit.blocks.diffusion_page import Page
from zerokit.blocks.diffusion_price import Price
from zerokit.blocks.diffusion_recall import Recall
from zerokit.blocks.diffusion_run import Run
from zerokit.blocks.diffusion_start import StartPicture
from zerokit.blocks.diffusion_wiring import root


def connect(parts: Page) -> Run:
    """Add the events of a page to the Blocks that are open."""
    load, model = root().load, parts.model
    StartPicture(parts).add_events()
    run = Run(model, parts)
    over = run.add_events(load)
    Price(model, parts).add_events(load, over)
    Recall(parts, model.engine.name).add_events(load)
    return run
