"""A service with a small real runner, real stores in a temporary folder, and a client."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.service import Limits, Service, Stores
from storage.database import Database
from storage.fetch import Fetcher
from storage.inputs import Inputs
from storage.jobs import JobRecords
from storage.outputs import OutputStore
from storage.signing import UrlSigner
from storage.uploads import UploadLimits, Uploads
from tests.fakes_runner import FakeRunner

API = "/api/v7/comfyui"


@dataclass
class Site:
    """A running service and ways to talk to it."""

    service: Service
    runner: FakeRunner
    client: httpx.AsyncClient
    received: asyncio.Queue[httpx.Request]  # by webhook receivers

    async def execute(self, workflow: dict[str, Any], **fields: Any) -> httpx.Response:
        return await self.client.post(f"{API}/execute", json={"workflow": workflow, **fields})

    async def fetch(self, job_id: int) -> dict[str, Any]:
        return dict((await self.client.get(f"{API}/fetch/{job_id}")).json())

    async def accepted(self, workflow: dict[str, Any], **fields: Any) -> int:
        return int((await self.execute(workflow, wait=0, **fields)).json()["id"])

    async def events(self, job_id: int, **headers: str) -> list[dict[str, str]]:
        """The event stream to its end, as id, event, data."""
        response = await self.client.get(f"{API}/events/{job_id}", headers=headers)
        blocks = [block for block in response.text.split("\n\n") if block]
        return [dict(line.split(": ", 1) for line in b.splitlines()) for b in blocks]


OpenSite = Callable[..., Any]


@pytest.fixture
async def open_site(tmp_path: Path, database_url: str) -> AsyncIterator[OpenSite]:
    """Opens a site with some limits; several over the same folder are like restarts."""
    async with AsyncExitStack() as stack:

        async def open_(limits: Limits | None = None, **options: Any) -> Site:
            return await stack.enter_async_context(
                _site(tmp_path, database_url, limits or Limits(), options)
            )

        yield open_


@pytest.fixture
async def site(open_site: OpenSite) -> Site:
    opened: Site = await open_site()
    return opened


@asynccontextmanager
async def _site(
    folder: Path, database_url: str, limits: Limits, options: dict[str, Any]
) -> AsyncIterator[Site]:
    received: asyncio.Queue[httpx.Request] = asyncio.Queue()

    def receive(request: httpx.Request) -> httpx.Response:
        received.put_nowait(request)
        return httpx.Response(200)

    async def public(host: str, port: int) -> list[str]:
        return ["93.184.216.34"]

    database = Database(database_url)
    jobs = JobRecords(database)
    outputs = OutputStore(folder / "outputs", UrlSigner(b"a key of tests"))
    uploads = Uploads(folder / "uploads", outputs, UploadLimits(most_bytes=10_000))
    fetcher = Fetcher(resolve=public, transport=httpx.MockTransport(receive))
    inputs = Inputs(uploads, fetcher, jobs, outputs)
    runner = FakeRunner(inputs)
    stores = Stores(database, jobs, outputs, uploads, inputs, fetcher)
    service = Service(runner, stores, limits)
    app = create_app(service, **options)
    await service.open()
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://here:8000") as client:
        yield Site(service, runner, client, received)
    await service.close()
