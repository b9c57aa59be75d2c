"""One replica of the service as a process of its own.

Usage: python -m tests.api.replica_process FOLDER HOST:PORT PORT. Keeps everything in FOLDER, may
call webhooks at HOST:PORT, and listens on PORT of loopback. Jobs do some work for each of the
workflow's `steps`, and save a grey picture.
"""

import asyncio
import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn

from api.app import create_app
from api.jobs.events import Progressed
from api.jobs.runner import Prepared, RunningJob
from api.jobs.service import Limits, Service
from api.keys.access import LocalAccess
from api.keys.key_access import KeyAccess
from api.keys.rates import Rates
from deployments.config import RouterConfig
from deployments.settings import Settings
from deployments.stores import open_stores
from graph.execution import NodeTiming
from storage.jobs.outbox import Outbox
from storage.keys import Keys
from tests.fakes_runner import FakeRunner

LIMITS = Limits(running=20, look_s=0.1, lease_s=6.0)
SENDING_S = 6.0  # of a webhook whose sender was killed
WORK = 20_000  # rounds of hashing in a step: ten milliseconds


@dataclass
class WorkingRunner(FakeRunner):
    """Takes its time."""

    async def prepare(self, owner: str, body: Mapping[str, Any]) -> Prepared:
        return Prepared(prompt=body["workflow"])

    async def run(self, prepared: Prepared, job: RunningJob) -> tuple[NodeTiming, ...]:
        steps = prepared.prompt.get("steps", 5)
        for step in range(1, steps + 1):
            await asyncio.to_thread(hashlib.pbkdf2_hmac, "sha256", b"", b"", WORK)
            job.report(Progressed("3", step, steps))
        await job.outputs.save_images(np.full((1, 8, 8, 3), 0.5, np.float32), node_id="9")
        return ()


def main(data_dir: str, allowed_host: str, port: int) -> None:
    settings = Settings(data_dir=Path(data_dir), allowed_hosts=allowed_host)
    stores = open_stores(settings, RouterConfig())
    stores = replace(stores, outbox=Outbox(stores.database, sending_s=SENDING_S))
    service = Service(WorkingRunner(), stores, LIMITS)
    keys = Keys(stores.database)
    with_keys = KeyAccess(keys, Rates(None), reading_rate=RouterConfig().reading_rate)
    access = LocalAccess() if settings.auth == "off" else with_keys
    uvicorn.run(create_app(service, access), port=port, log_level="warning")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
