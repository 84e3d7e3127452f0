"""One visitor with a real browser: their conversation outlives the app."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import chromium
from playwright.async_api import Page, async_playwright, expect

QUESTION = "What outlives a restart?"
PATIENCE_MS = 90_000


@asynccontextmanager
async def browser_page() -> AsyncIterator[Page]:
    """A page in Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium.executable(), args=chromium.ARGS)
        page = await browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        yield page
        await browser.close()


async def ask(page: Page, url: str) -> None:
    """Ask once, and wait until the answer is over and kept."""
    await page.goto(url)
    box = page.locator("[id^=zerokit-ask] textarea")
    await box.fill(QUESTION)
    await box.press("Enter")
    await expect(page.get_by_text(re.compile(r"^\d+ tokens"))).to_be_visible(timeout=PATIENCE_MS)
    await expect(page.locator(".bot.message").first).to_contain_text(QUESTION)
    await _earlier(page)


async def find_again(page: Page, url: str) -> None:
    """After a restart it is in the list, and opens with its answer."""
    await page.goto(url)
    await _earlier(page)
    await page.get_by_role("gridcell", name=QUESTION).click()
    await expect(page.locator(".message.user")).to_have_text([QUESTION], timeout=PATIENCE_MS)
    await expect(page.locator(".bot.message").first).to_contain_text(QUESTION)


async def _earlier(page: Page) -> None:
    """Open the list of conversations, and see it there."""
    opened = page.get_by_role("button", name="Earlier chats")
    if await opened.get_attribute("aria-expanded") != "true":
        await opened.click()
    await expect(page.get_by_role("gridcell", name=QUESTION)).to_be_visible(timeout=PATIENCE_MS)
