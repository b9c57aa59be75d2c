"""Accepts jobs: validates and records them, then starts or queues them."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.heavy_work import is_small
from api.jobs.estimates import RunTimes, steps_by_class
from api.jobs.request_reader import RequestReader, hash_of
from api.jobs.requests import JobRequests
from api.jobs.runner import Prepared
from api.jobs.worker import Worker
from api.keys.access import Caller
from api.metrics.service_metrics import ServiceMetrics
from api.schemas import ExecuteRequest
from storage.jobs.job_charges import JobCharges
from storage.jobs.leases import JobLeases
from storage.jobs.money import amount
from storage.jobs.records import Face, JobRecord, JobRecords, QueueLimits


@dataclass(frozen=True)
class Posted:
    """How a job was posted, beside its request. A number of 0 is the owner's next."""

    base_url: str = ""
    idempotency_key: str | None = None
    face: Face = "v7"
    prompt_id: str | None = None
    client_id: str | None = None
    workflow_id: str | None = None
    number: float = 0.0
    front: bool = False


@dataclass(frozen=True)
class Acceptance:
    """Takes jobs on."""

    reader: RequestReader
    jobs: JobRecords
    worker: Worker
    leases: JobLeases
    requests: JobRequests
    times: RunTimes
    limits: QueueLimits
    metrics: ServiceMetrics
    charges: JobCharges

    def estimate_s(self, prepared: Prepared) -> float:
        """How long a job may run."""
        steps = steps_by_class(prepared.prompt) if prepared.steps is None else prepared.steps
        return self.times.estimate_s(steps)

    def estimate(self, prepared: Prepared) -> dict[str, Any]:
        """How long a job may run and what it may cost, as a dry run answers."""
        estimate_s = self.estimate_s(prepared)
        return {
            "estimated_s": round(estimate_s, 2),
            "estimated_price": amount(self.charges.quote(estimate_s, prepared.outputs)),
            "currency": self.charges.prices.currency,
        }

    async def accept(
        self,
        caller: Caller,
        request: ExecuteRequest,
        body: Mapping[str, Any],
        posted: Posted,
    ) -> JobRecord:
        """The job of an execute request: a new one, or an earlier one of the same key and body.

        Raises:
            ServiceError: nothing was accepted.
        """
        body_hash = None
        if posted.idempotency_key:
            body_hash = await _hash_of(body)
            if earlier := await self.replayed(caller, posted, body_hash):
                return earlier
        prepared = await self.reader.prepared(caller.owner, request, body)
        return await self.record(caller, request, body, prepared, posted, body_hash=body_hash)

    async def replayed(
        self, caller: Caller, posted: Posted, body_hash: str | None
    ) -> JobRecord | None:
        """The earlier job of the same key and body.

        Raises:
            IdempotencyConflictError: the key came with another body.
        """
        if not posted.idempotency_key or body_hash is None:
            return None
        return await self.jobs.replayed(caller.owner, posted.idempotency_key, body_hash)

    async def record(
        self,
        caller: Caller,
        request: ExecuteRequest,
        body: Mapping[str, Any] | bytes,
        prepared: Prepared,
        posted: Posted,
        *,
        body_hash: str | None = None,
    ) -> JobRecord:
        """The job of a request that is ready to run. One client's wait for each other.

        A large one, whose `body` is bytes, is opened by whoever begins it.

        Raises:
            ServiceError: nothing was accepted.
        """
        now_s = time.time()
        waits = posted.client_id is not None or posted.front or isinstance(body, bytes)
        begins = not waits and self.worker.take_place()
        record = JobRecord(
            caller.owner,
            created_s=now_s,
            key_id=caller.key_id,
            status="running" if begins else "queued",
            epoch=1 if begins else 0,
            started_s=now_s if begins else None,
            estimate_s=self.estimate_s(prepared),
            expected_outputs=prepared.outputs,
            priority=request.priority,
            track_id=request.track_id,
            webhook=request.callback,
            base_url=posted.base_url,
            idempotency_key=posted.idempotency_key,
            body_hash=body_hash,
            face=posted.face,
            prompt_id=posted.prompt_id,
            client_id=posted.client_id,
            number=posted.number,
            workflow_id=posted.workflow_id,
            answer={"skipped": list(prepared.skipped)} if prepared.skipped else None,
        )
        return await self._add(record, body, prepared, front=posted.front)

    async def _add(
        self,
        record: JobRecord,
        body: Mapping[str, Any] | bytes,
        prepared: Prepared,
        *,
        front: bool,
    ) -> JobRecord:
        if begins := record.status == "running":
            self.worker.expect(record.id)
        try:
            sealed = await self.requests.sealed(record.id, body)
            lease = self.leases.columns() if begins else None
            added = await self.jobs.add(
                record, sealed, limits=self.limits, lease=lease, front=front
            )
        except BaseException:
            if begins:
                self.worker.expect_no_more(record.id)
            raise
        if added.id != record.id:  # the same request came twice at once, and the other was faster
            if begins:
                self.worker.expect_no_more(record.id)
            return added
        self.metrics.accepted.inc()
        if begins and not isinstance(body, bytes):
            self.worker.start(added, body, prepared)
        else:
            self.worker.queued(added)
        return added


async def _hash_of(body: Mapping[str, Any]) -> str:
    return hash_of(body) if is_small(body) else await asyncio.to_thread(hash_of, body)
