"""The whole application in one process, over HTTP and with keys, and what stands in for Ray."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import uvicorn

from api.app import create_app
from api.hosted.options import HostedOptions
from api.keys.key_access import KeyAccess
from api.keys.rates import Rates
from api.schemas import EXAMPLE_WORKFLOW
from storage.keys import Keys, KeyTerms
from tests.api.conftest import API, open_site, site
from tests.api.keyed import SCOPES
from tests.hosted.conftest import (
    ALIASES,
    Hosted,
    hosted,
    model_folder,
    node_types,
    open_hosted,
)

__all__ = ["hosted", "model_folder", "node_types", "open_hosted", "open_site", "site"]


@dataclass(frozen=True)
class Served:
    """Where it answers, a key of every scope, and a job that has ended."""

    url: str
    key: str
    job_id: int


@pytest.fixture
async def served(hosted: Hosted) -> AsyncIterator[Served]:
    keys = Keys(hosted.site.service.stores.database)
    key, _ = await keys.create("acme", KeyTerms(scopes=SCOPES))
    app = create_app(
        hosted.site.service,
        KeyAccess(keys, Rates(), reading_rate=""),
        hosted=HostedOptions(aliases=ALIASES),
        manage_service=False,
    )
    listening = socket.create_server(("127.0.0.1", 0))  # from now on callers wait, not fail
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    serving = asyncio.create_task(server.serve([listening]))
    url, head = "http://{}:{}".format(*listening.getsockname()), {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=url, headers=head) as client:
        body = {"workflow": EXAMPLE_WORKFLOW, "webhook": "http://public.example/hook"}
        answer = (await client.post(f"{API}/execute", json=body)).json()
        assert answer["status"] == "success", answer
    yield Served(url, key, answer["id"])
    server.should_exit = True
    await serving
