"""Folded settings, which a test opens faster than any hand."""

from __future__ import annotations

from playwright.sync_api import Locator

_TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def unfold(fold: Locator) -> None:
    """Open an accordion, and wait until what is in it can be changed.

    One frame after it was opened, Gradio 6.31 puts into everything in it the values that it had: what was typed before
    that is gone, as the field shows. A frame is no time for a visitor, but on a busy machine it is enough for a test.
    """
    if "open" in (fold.get_attribute("class") or "").split():
        return
    fold.click()
    fold.page.evaluate(_TWO_FRAMES)
