"""ComfyUI's own editor, driven in a browser over the application with keys."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.one_process import running

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[3]
VERSION = "1.27.10"
SOON_MS = 60_000  # a picture, on a busy machine
SAVED = "window.app.graph._nodes.find((node) => node.type === 'SaveImage')"
SAMPLER = "window.app.graph._nodes.find((node) => node.type === 'KSampler')"
PICTURE = f"() => {SAVED}?.imgs?.some((image) => image.naturalWidth === 128)"


@pytest.fixture(scope="module")
def editor_folder() -> Path:
    """The editor, in a folder that stays for the next run."""
    folder = ROOT / "build" / f"editor-{VERSION}"
    script = ROOT / "cluster" / "install_editor.sh"
    subprocess.run(["sh", script, VERSION, folder], cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="module")
def settings(editor_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of the application: keys, the demo model, the editor."""
    return {
        "COMFYRAY_AUTH": "on",
        "COMFYRAY_DATA_DIR": str(tmp_path_factory.mktemp("editor") / "data"),
        "COMFYRAY_MODELS_DIR": str(ROOT / "models"),
        "PYTHONPATH": str(editor_folder),
    }


@pytest.fixture(scope="module")
def base(settings: dict[str, str]) -> Iterator[str]:
    """The application's address."""
    with running(settings) as url:
        yield url


@pytest.fixture(scope="module")
def key(base: str, settings: dict[str, str]) -> str:
    command = [sys.executable, "-m", "deployments.keys", "create", "--owner", "acme"]
    environment = os.environ | settings
    made = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    return made.stdout.decode().split()[-1]


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """Without a network: what the editor asks of other hosts fails before it is sent."""
    context = await browser.new_context(viewport={"width": 1500, "height": 900})
    await context.route(lambda url: not url.startswith("http://127.0.0.1"), lambda it: it.abort())
    yield await context.new_page()
    await context.close()


async def run(page: Page) -> list[dict[str, Any]]:
    """Click Run; what the socket then says until the end of the job."""
    said: list[dict[str, Any]] = await page.evaluate(
        """async (selector) => {
            const said = [];
            const kinds = ["progress", "b_preview", "executed", "execution_success",
                "execution_error", "execution_interrupted"];
            const ended = new Promise((done) => {
                for (const kind of kinds) window.app.api.addEventListener(kind, (event) => {
                    said.push({kind, ...event.detail});
                    if (kind.startsWith("execution_")) done();
                });
            });
            document.querySelector(selector).click();
            await ended;
            return said;
        }""",
        '[data-testid="queue-button"] button',
    )
    return said


def kinds(said: list[dict[str, Any]]) -> set[str]:
    return {one["kind"] for one in said}


async def set_widget(page: Page, name: str, value: object) -> None:
    """Change a value of the sampler."""
    script = f"([name, value]) => {SAMPLER}.widgets.find((w) => w.name === name).value = value"
    await page.evaluate(script, [name, value])


async def test_the_editor_runs_a_template_and_finds_its_results_again(
    page: Page, base: str, key: str
) -> None:
    await page.goto(base)
    await page.get_by_label("Key").fill("crk_wrong")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("alert")).to_contain_text("unknown")
    await page.get_by_label("Key").fill(key)
    await page.get_by_role("button", name="Log in").click()

    # A first visit opens a template of ours, which runs.
    await page.wait_for_function(f"() => window.app?.graph && {SAVED}", timeout=SOON_MS)
    await page.wait_for_function(f"() => {SAVED}.widgets[0].value === 'demo_text'")
    assert page.url == f"{base}/"
    drawn = await run(page)
    assert {"progress", "b_preview", "executed", "execution_success"} <= kinds(drawn)
    await page.wait_for_function(PICTURE)

    # The same again is answered from what is there.
    again = await run(page)
    assert kinds(again) == {"executed", "execution_success"}

    # A wrong value is told at its node.
    await set_widget(page, "sampler_name", "nope")
    await page.locator('[data-testid="queue-button"] button').first.click()
    await page.wait_for_function("() => Object.keys(window.app.lastNodeErrors ?? {}).length")
    (error,) = (await page.evaluate("() => window.app.lastNodeErrors"))["5"]["errors"]
    assert error["type"] == "value_not_in_list"
    await page.keyboard.press("Escape")

    # A long run is cancelled by its button.
    for name, value in (("sampler_name", "euler"), ("steps", 2000), ("seed", 8)):
        await set_widget(page, name, value)
    await page.locator('[data-testid="queue-button"] button').first.click()
    stop = page.get_by_role("button", name="Cancel current run").first
    await expect(stop).to_be_enabled()
    await page.wait_for_function("() => window.app.runningNodeId === '5'", timeout=SOON_MS)
    await stop.click()
    await expect(stop).to_be_disabled(timeout=SOON_MS)

    # The picture brings its workflow back, as it was laid out.
    name = next(one for one in again if one["kind"] == "executed")["output"]["images"][0]
    await page.evaluate(
        """async (file) => {
            const blob = await (await fetch("/api/view?" + new URLSearchParams(file))).blob();
            window.app.graph.clear();
            await window.app.handleFile(new File([blob], file.filename, {type: "image/png"}));
        }""",
        name,
    )
    await page.wait_for_function(f"() => {SAMPLER}?.widgets[0].value === 7")
    document = json.loads((ROOT / "examples" / "text_to_image.ui.json").read_text())
    places = {node["type"]: node["pos"] for node in document["nodes"]}
    assert await page.evaluate(f"() => [...{SAMPLER}.pos]") == places["KSampler"]

    # After a reload the results are in the history, and saved files are there.
    await page.evaluate("() => window.app.api.storeUserData('workflows/mine.json', {nodes: []})")
    await page.reload()
    await page.wait_for_function("() => window.app?.graph?._nodes?.length", timeout=SOON_MS)
    listed = await page.evaluate("() => window.app.api.listUserDataFullInfo('workflows')")
    assert [file["path"] for file in listed] == ["mine.json"]
    await page.locator(".queue-tab-button").first.click()
    await page.wait_for_function(
        """() => [...document.querySelectorAll("img")]
            .filter((image) => image.src.includes("/view?") && image.naturalWidth === 128).length"""
    )
