"""The page, driven in a browser over the real application."""

import json
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import BrowserContext, Page, expect

from api.page.routes import EXAMPLES
from tests.demo_files import place_demo_files

pytestmark = [pytest.mark.cluster, pytest.mark.browser]
SOON_MS = 120_000  # a picture, on a busy machine


@pytest.fixture
def base(server: str, parity_models: Path) -> str:
    """The application's address, with the demo model in its models folder."""
    place_demo_files(parity_models)
    return server


@pytest.fixture
async def page(context: BrowserContext, base: str) -> Page:
    page = await context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.goto(f"{base}/")
    await expect(page.locator("#example-list button")).to_have_count(9)
    assert errors == []
    return page


async def drop(page: Page, path: Path) -> None:
    await page.locator("#file").set_input_files(path)
    await expect(page.locator("#form")).to_be_visible()


async def run(page: Page) -> None:
    await page.locator("#run-button").click()
    await expect(page.locator("#after")).to_be_visible(timeout=SOON_MS)


async def picture_size(page: Page) -> list[int]:
    """Width and height of the first picture, once it is loaded."""
    picture = page.locator("#outputs img").first
    size: list[int] = await picture.evaluate(
        "async (e) => { await e.decode(); return [e.naturalWidth, e.naturalHeight]; }"
    )
    return size


async def test_a_workflow_is_dropped_changed_and_run(page: Page, tmp_path: Path) -> None:
    await drop(page, EXAMPLES / "text_to_image.json")
    await expect(page.locator("#quote")).to_contain_text("steps to run")
    await page.locator("textarea").first.fill("a blue square on a yellow background")
    await run(page)
    assert await picture_size(page) == [128, 128]
    assert "blue square" in str(await page.locator("#outputs img").first.get_attribute("alt"))
    # Its own picture, dropped, opens the workflow that was run.
    async with page.expect_download() as download:
        await page.locator("#outputs a").first.click()
    saved = tmp_path / "again.png"
    await (await download.value).save_as(saved)
    await drop(page, saved)
    await expect(page.locator("textarea").first).to_have_value(
        "a blue square on a yellow background"
    )


async def test_steps_and_a_preview_show_while_it_runs_and_it_can_be_cancelled(
    page: Page, tmp_path: Path
) -> None:
    workflow = json.loads((EXAMPLES / "text_to_image.json").read_text())
    workflow["5"]["inputs"] |= {"steps": 2000, "seed": 8}
    long = tmp_path / "long.json"
    long.write_text(json.dumps(workflow))
    await drop(page, long)
    await page.locator("#run-button").click()
    await expect(page.locator("#preview")).to_be_visible(timeout=SOON_MS)
    await expect(page.locator("#progress-text")).to_contain_text("of 2000")
    await page.locator("#cancel-button").click()
    await expect(page.locator("#notice")).to_contain_text("cancelled", timeout=SOON_MS)
    await expect(page.locator("#progress")).to_be_hidden()


async def test_an_example_with_a_picture_uploads_it(page: Page) -> None:
    await page.get_by_role("button", name="Image to image").click()
    await expect(page.locator("#form")).to_be_visible()
    await run(page)
    assert await picture_size(page) == [128, 128]


async def test_what_is_wrong_is_shown_at_its_field(page: Page) -> None:
    await drop(page, EXAMPLES / "text_to_image.json")
    await page.locator("#more summary").click()
    steps = page.get_by_label("KSampler (5): steps", exact=True)
    await steps.fill("0")
    await steps.blur()
    await expect(page.locator(".wrong:visible")).to_have_count(1)
    await expect(steps).to_have_attribute("aria-invalid", "true")


async def test_what_is_no_workflow_is_told(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("hello")
    await page.locator("#file").set_input_files(file)
    await expect(page.locator("#notice")).to_contain_text("neither JSON nor a PNG")


async def test_jobs_show_their_pictures_and_timelines(page: Page) -> None:
    await drop(page, EXAMPLES / "text_to_image.json")
    await run(page)
    await page.locator("#nav-jobs").click()
    first = page.locator("#job-list li").first
    await expect(first.locator(".state")).to_have_text("success")
    await expect(first.locator(".thumbs img")).to_have_count(1)
    await first.get_by_role("button", name="Timeline").click()
    await expect(first.locator(".timeline")).to_be_visible()
    await first.get_by_role("button", name="Delete").click()
    await expect(first.locator(".timeline")).to_have_count(0)


async def test_the_code_it_offers_makes_the_same_request(page: Page) -> None:
    await drop(page, EXAMPLES / "text_to_image.json")
    await run(page)
    await page.locator("#code summary").click()
    for language, mark in (("curl", "curl -s"), ("Python", "urllib"), ("JavaScript", "fetch(")):
        await page.get_by_role("button", name=language).click()
        await expect(page.locator("#code-text")).to_contain_text(mark)
        await expect(page.locator("#code-text")).to_contain_text("api/v7/comfyui/execute")


@pytest.mark.parametrize("width", [400, 1200])
@pytest.mark.parametrize("dark", [False, True])
async def test_it_can_be_used_by_everybody(page: Page, width: int, dark: bool) -> None:
    await page.emulate_media(color_scheme="dark" if dark else "light")
    await page.set_viewport_size({"width": width, "height": 800})
    await drop(page, EXAMPLES / "text_to_image.json")
    await page.locator("#more summary").click()
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert await page.evaluate(overflow) <= 0
    found = (await Axe().run(page)).response["violations"]
    serious = [one for one in found if one["impact"] in {"serious", "critical"}]
    assert [(one["id"], one["nodes"][0]["html"]) for one in serious] == []


async def test_the_documentation_is_drawn_without_a_network(page: Page, base: str) -> None:
    await page.goto(f"{base}/docs")
    await expect(page.locator(".opblock").first).to_be_visible()
