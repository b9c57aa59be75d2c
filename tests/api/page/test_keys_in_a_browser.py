"""The page of a service that asks for keys, and of one that goes away and comes back."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.async_api import BrowserContext, expect

from api.page.routes import EXAMPLES
from tests.api.conftest import Site
from tests.api.keyed import keyed_site
from tests.ports import free_port

pytestmark = pytest.mark.browser
FILE = EXAMPLES / "text_to_image.json"


class ReadyServer(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@asynccontextmanager
async def listening(app: FastAPI, port: int) -> AsyncIterator[str]:
    """The application on a port of this machine; its address."""
    server = ReadyServer(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    await server.ready.wait()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = server.force_exit = True
        await serving


async def test_a_key_is_asked_for_until_it_holds(site: Site, context: BrowserContext) -> None:
    async with keyed_site(site) as keyed, listening(keyed.app, free_port()) as base:
        page = await context.new_page()
        await page.goto(f"{base}/app/")
        await page.locator("#file").set_input_files(FILE)
        dialog = page.locator("#key-dialog")
        await expect(dialog).to_be_visible()
        await page.locator("#key").fill("crk_wrong")
        await page.get_by_role("button", name="Use it").click()
        await expect(page.locator("#key-text")).to_contain_text("did not take this key")
        await page.locator("#key").fill(await keyed.key("acme"))
        await page.get_by_role("button", name="Use it").click()
        await expect(page.locator("#form")).to_be_visible()
        assert "crk_" not in page.url
        stored = await page.evaluate("[localStorage.length, sessionStorage.length]")
        assert stored == [0, 1]
        await page.locator("#key-button").click()
        await page.get_by_role("button", name="Forget it").click()
        await page.wait_for_function("sessionStorage.length === 0")


async def test_a_service_that_is_gone_is_told_and_work_goes_on_when_it_is_back(
    site: Site, context: BrowserContext
) -> None:
    async with keyed_site(site) as keyed:
        page, port = await context.new_page(), free_port()
        async with listening(keyed.app, port) as base:
            await page.goto(f"{base}/app/")
            await page.evaluate(
                "key => sessionStorage.setItem('comfyray-key', key)", await keyed.key("a")
            )
            await page.locator("#file").set_input_files(FILE)
            await expect(page.locator("#form")).to_be_visible()
        await page.locator("#run-button").click()
        await expect(page.locator("#notice")).to_contain_text("does not answer")
        async with listening(keyed.app, port):
            await page.locator("#run-button").click()
            await expect(page.locator("#outputs img").first).to_be_visible()
