"""The documents as a site: `make docs`."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from tests.api.page.conftest import ARGUMENTS, NAMES

ROOT = Path(__file__).resolve().parents[1]
LOADED = re.compile(r"""<(?:script|link|img)[^>]*?(?:src|href)=["'](https?:[^"']+)""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built strictly: a page that is in no menu and a dead link are errors."""
    site = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "properdocs", "build", "--strict", "--site-dir", site],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return site


def test_every_document_is_a_page(site: Path) -> None:
    missing = [
        page.name
        for page in (ROOT / "docs").glob("*.md")
        if not (site / page.with_suffix(".html").name).exists()
    ]
    assert missing == []
    assert (site / "repository" / "CHANGELOG.html").exists()


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = {page.name: LOADED.findall(page.read_text()) for page in site.rglob("*.html")}
    assert {name: urls for name, urls in pages.items() if urls} == {}


async def test_a_browser_without_a_network_shows_the_first_page(site: Path) -> None:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        context = await browser.new_context(offline=True)
        page = await context.new_page()
        failed: list[str] = []
        page.on("requestfailed", lambda request: failed.append(request.url))
        await page.goto((site / "index.html").as_uri())
        assert await page.title() == "comfyray"
        wide = await page.locator("[role=main] img").first.evaluate("i => i.naturalWidth")
        assert wide == 128
        await page.get_by_role("link", name="Gallery").first.click()
        assert "gallery.html" in page.url
        assert failed == []
        await browser.close()
