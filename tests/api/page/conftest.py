"""A browser, Debian's Chromium, without a network beyond this machine."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, async_playwright, expect

NAMES = ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome")
WITHIN_MS = 60_000  # a page, on a busy machine
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    assert found, "Chromium is missing: sh cluster/install_browser.sh"
    expect.set_options(timeout=WITHIN_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
async def context(browser: Browser, tmp_path: Path) -> AsyncIterator[BrowserContext]:
    """Fresh storage; what asks for another host fails the test."""
    context = await browser.new_context(viewport={"width": 1200, "height": 900})
    elsewhere: list[str] = []
    context.on(
        "request",
        lambda request: (
            elsewhere.append(request.url)
            if not request.url.startswith(("http://127.0.0.1", "data:", "blob:"))
            else None
        ),
    )
    yield context
    await context.close()
    assert elsewhere == []
