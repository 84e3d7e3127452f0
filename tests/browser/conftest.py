"""One Chromium for the tests of a file, and one visitor's browser after the other in it."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import chromium
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.executable(), args=chromium.ARGS)
        yield browser
        browser.close()


FEWER_FRAMES = """(() => {
  const still = new CSSStyleSheet();
  still.replaceSync(`*, ::before, ::after {
    animation-duration: 1ms !important; animation-iteration-count: 1 !important; transition-duration: 0s !important;
  }`);
  document.adoptedStyleSheets = [still];
  const frame = window.requestAnimationFrame.bind(window);
  const waiting = new Map();
  let last = 0;
  window.requestAnimationFrame = (draw) => {
    const id = ++last;
    const drawn = (time) => { waiting.delete(id); draw(time); };
    waiting.set(id, setTimeout(() => waiting.has(id) && frame(drawn), 60));
    return id;
  };
  window.cancelAnimationFrame = (id) => { clearTimeout(waiting.get(id)); waiting.delete(id); };
})()"""
"""Without a card every frame costs a core: the picture editor draws itself anew in each, and what turns or pulses."""


class Visitors:
    """Pages of visitors who share nothing. From those who were there before, a browser has the files in its cache."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._here: list[tuple[str, BrowserContext]] = []
        self._free: dict[str, list[BrowserContext]] = {}
        self._been: set[str] = set()

    def page(self, **settings: object) -> Page:
        """An empty page of another visitor; `settings` are those of `Browser.new_context`."""
        kind = repr(sorted(settings.items()))
        free = self._free.setdefault(kind, [])
        context = free.pop() if free else self._browser.new_context(locale="en-GB", timezone_id="UTC", **settings)
        self._here.append((kind, context))
        page = context.new_page()
        page.add_init_script(FEWER_FRAMES)
        page.on("framenavigated", lambda frame: self._been.add("{}://{}".format(*urlsplit(frame.url))))
        return page

    def leave(self) -> None:
        """All close their pages, and nothing is kept of what they did."""
        for kind, context in self._here:
            for page in context.pages:
                page.close()
            page = context.new_page()
            session = context.new_cdp_session(page)
            for origin in self._been:
                if origin.startswith("http"):
                    session.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
            context.clear_cookies()
            page.close()
            self._free[kind].append(context)
        self._here.clear()
        self._been.clear()


@pytest.fixture(scope="module")
def visitors(browser: Browser) -> Visitors:
    return Visitors(browser)
