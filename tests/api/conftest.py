"""A service with a small real runner, real stores in a temporary folder, and a client."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.app import create_app
from api.jobs.event_hub import Hub
from api.jobs.runner import Runner
from api.jobs.service import Limits, Service, Stores
from api.jobs.webhooks import Signer
from storage.assets import Assets
from storage.counters import Counters
from storage.database import Database
from storage.disk_quota import DiskQuota
from storage.encryption import Cipher
from storage.fetch import Fetcher
from storage.files import Files
from storage.inputs import Inputs
from storage.jobs.charges import Prices
from storage.jobs.earlier_outputs import EarlierOutputs
from storage.jobs.job_charges import JobCharges
from storage.jobs.outbox import Outbox
from storage.jobs.output_names import OutputNames
from storage.jobs.prompts import Prompts
from storage.jobs.records import JobRecords
from storage.outputs import OutputStore
from storage.owner_disk import OwnerDisk
from storage.signing import UrlSigner
from storage.uploads import UploadLimits, Uploads
from storage.user_data import UserData
from storage.user_settings import UserSettings
from tests.api.models import model_intake
from tests.fakes_runner import FakeRunner

API = "/api/v7/comfyui"
KEY = b"a key of tests, thirty-two bytes"


@dataclass
class Site:
    """A running service and ways to talk to it."""

    service: Service
    runner: FakeRunner
    client: httpx.AsyncClient
    received: asyncio.Queue[httpx.Request]  # by webhook receivers
    answers: list[int]  # of webhook receivers, one after the other; 200 when there are no more
    app: FastAPI

    async def execute(self, workflow: dict[str, Any], **fields: Any) -> httpx.Response:
        return await self.client.post(f"{API}/execute", json={"workflow": workflow, **fields})

    async def fetch(self, job_id: int) -> dict[str, Any]:
        return dict((await self.client.get(f"{API}/fetch/{job_id}")).json())

    async def accepted(self, workflow: dict[str, Any], **fields: Any) -> int:
        return int((await self.execute(workflow, wait=0, **fields)).json()["id"])

    async def ended(self, *job_ids: int, owner: str = "local") -> None:
        """Until the jobs have ended, on whichever replica."""
        for job_id in job_ids:
            await self.service.ended(owner, job_id)

    async def events(self, job_id: int, **headers: str) -> list[dict[str, str]]:
        """The event stream to its end, as id, event, data."""
        response = await self.client.get(f"{API}/events/{job_id}", headers=headers)
        blocks = [block for block in response.text.split("\n\n") if block]
        return [dict(line.split(": ", 1) for line in b.splitlines()) for b in blocks]


def unsigned(answer: Any) -> Any:
    """An answer without the signatures of its URLs, which an object store makes anew each time."""
    return json.loads(re.sub(r'\?[^"]+', "", json.dumps(answer)))


PRICES = Prices(per_output=0.25)
OpenSite = Callable[..., Any]
MakeRunner = Callable[[Inputs], Runner]


@pytest.fixture
async def open_site(database_url: str, files: Files, tmp_path: Path) -> AsyncIterator[OpenSite]:
    """Opens a site with some limits; several over the same folder are like restarts.

    `make_runner` makes another runner than the small one, of the site's inputs; `fetcher` reads
    from elsewhere than from a small internet where all is well; `change` is given the stores and
    returns those to use, `make_database` opens another kind of database.
    """
    async with AsyncExitStack() as stack:

        async def open_(
            limits: Limits | None = None,
            make_runner: MakeRunner | None = None,
            fetcher: Fetcher | None = None,
            change: Callable[[Stores], Stores] = lambda stores: stores,
            make_database: Callable[[str], Database] = Database,
            hub: Hub | None = None,
            **options: Any,
        ) -> Site:
            places = (make_database(database_url), files, tmp_path)
            site = _site(
                *places, limits or Limits(), make_runner, fetcher, change, hub=hub, **options
            )
            return await stack.enter_async_context(site)

        yield open_


@pytest.fixture
async def site(open_site: OpenSite) -> Site:
    opened: Site = await open_site()
    return opened


@asynccontextmanager
async def _site(
    database: Database,
    files: Files,
    folder: Path,
    limits: Limits,
    make_runner: MakeRunner | None,
    fetcher: Fetcher | None,
    change: Callable[[Stores], Stores],
    disk_bytes: int = 2**40,
    hub: Hub | None = None,
    **options: Any,
) -> AsyncIterator[Site]:
    received: asyncio.Queue[httpx.Request] = asyncio.Queue()
    answers: list[int] = []

    def receive(request: httpx.Request) -> httpx.Response:
        received.put_nowait(request)
        return httpx.Response(answers.pop(0) if answers else 200)

    async def public(host: str, port: int) -> list[str]:
        return ["10.0.0.1" if host == "inside.example" else "93.184.216.34"]

    outbox = Outbox(database)
    charges = JobCharges(PRICES)
    names = OutputNames(database)
    jobs = JobRecords(database, [outbox, charges, names])
    disk = OwnerDisk(database, DiskQuota(disk_bytes))
    outputs = OutputStore(files, UrlSigner(b"a key of tests"), disk=disk)
    earlier = EarlierOutputs(jobs, outputs, names)
    uploads = Uploads(files, earlier, UploadLimits(most_bytes=10_000), disk=disk)
    fetcher = fetcher or Fetcher(resolve=public, transport=httpx.MockTransport(receive))
    inputs = Inputs(uploads, fetcher, earlier)
    runner = FakeRunner(inputs)
    stores = Stores(
        database=database,
        jobs=jobs,
        outbox=outbox,
        outputs=outputs,
        uploads=uploads,
        inputs=inputs,
        fetcher=fetcher,
        request_cipher=Cipher([KEY], "job requests"),
        webhook_signer=Signer(KEY),
        models=model_intake(folder, database, fetcher, disk),
        charges=charges,
        disk=disk,
        user_settings=UserSettings(database),
        user_data=UserData(files),
        counters=Counters(database),
        prompts=Prompts(database),
        assets=Assets(database, uploads),
    )
    service = Service(
        make_runner(inputs) if make_runner else runner, change(stores), limits, hub=hub
    )
    app = create_app(service, **options)
    await service.open()
    transport = httpx.ASGITransport(app)
    async with (
        httpx.AsyncHTTPTransport() as wire,  # to an object store, where URLs lead to one
        httpx.AsyncClient(
            transport=transport, mounts={"all://127.0.0.1": wire}, base_url="http://here:8000"
        ) as client,
    ):
        yield Site(service, runner, client, received, answers, app)
    await service.close()
