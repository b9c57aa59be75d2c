"""Accepting a job: read, checked, recorded, and only then begun or put in line."""

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from api.errors import InvalidFieldsError, and_of_workflow, field_problem, one_field
from api.heavy_work import is_small
from api.jobs.estimates import RunTimes
from api.jobs.requests import JobRequests
from api.jobs.runner import Prepared, Runner
from api.jobs.worker import Worker
from api.keys.access import Caller
from api.metrics.service_metrics import ServiceMetrics
from api.schemas import ExecuteRequest
from graph.problems import WorkflowInvalidError
from storage.addresses import AddressError
from storage.fetch import Fetcher, FetchError
from storage.jobs.leases import JobLeases
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

    runner: Runner
    jobs: JobRecords
    worker: Worker
    leases: JobLeases
    requests: JobRequests
    times: RunTimes
    limits: QueueLimits
    metrics: ServiceMetrics
    fetcher: Fetcher

    async def request(self, owner: str, body: Mapping[str, Any]) -> ExecuteRequest:
        """The fields of an execute body.

        Raises:
            ServiceError: some are wrong; it says what is wrong with the workflow too.
        """
        try:
            return ExecuteRequest.accept(body)
        except InvalidFieldsError as error:
            wrong = {str(fact["input"]).partition(".")[0] for fact in error.errors}
            right = {name: value for name, value in body.items() if name not in wrong}
            if "workflow" not in right:
                raise
            raise await and_of_workflow(
                error, self.prepared(owner, ExecuteRequest.read(right), right)
            ) from error

    async def prepared(
        self, owner: str, request: ExecuteRequest, body: Mapping[str, Any]
    ) -> Prepared:
        """The workflow of a request, ready to run.

        Raises:
            ServiceError: the workflow cannot run, or the webhook cannot be called; where both are
                so, it says both.
        """
        refused = await self._refused_callback(request)
        try:
            prepared = await self.runner.prepare(owner, body)
        except WorkflowInvalidError as error:
            if refused is None:
                raise
            problem = field_problem(refused.errors[0])
            raise replace(error, problems=(problem, *error.problems)) from error
        if refused:
            raise refused
        return prepared

    async def _refused_callback(self, request: ExecuteRequest) -> InvalidFieldsError | None:
        if request.callback is None:
            return None
        try:
            await self.fetcher.check(request.callback)
        except (AddressError, FetchError) as error:
            return one_field(request.callback_field, error.problem, request.callback)
        return None

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
            earlier = await self.jobs.replayed(caller.owner, posted.idempotency_key, body_hash)
            if earlier is not None:
                return earlier
        prepared = await self.prepared(caller.owner, request, body)
        return await self.record(caller, request, body, prepared, posted, body_hash=body_hash)

    async def record(
        self,
        caller: Caller,
        request: ExecuteRequest,
        body: Mapping[str, Any],
        prepared: Prepared,
        posted: Posted,
        *,
        body_hash: str | None = None,
    ) -> JobRecord:
        """The job of a request that is ready to run. One client's wait for each other.

        Raises:
            ServiceError: nothing was accepted.
        """
        estimate_s = self.times.estimate_s(prepared.prompt)
        now_s = time.time()
        begins = posted.client_id is None and not posted.front and self.worker.take_place()
        record = JobRecord(
            caller.owner,
            created_s=now_s,
            key_id=caller.key_id,
            status="running" if begins else "queued",
            epoch=1 if begins else 0,
            started_s=now_s if begins else None,
            estimate_s=estimate_s,
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
        self, record: JobRecord, body: Mapping[str, Any], prepared: Prepared, *, front: bool
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
        if begins:
            self.worker.start(added, body, prepared)
        else:
            self.worker.queued(added)
        return added


async def _hash_of(body: Mapping[str, Any]) -> str:
    return _body_hash(body) if is_small(body) else await asyncio.to_thread(_body_hash, body)


def _body_hash(body: Mapping[str, Any]) -> str:
    """In pieces, between which other threads go on."""
    digest = hashlib.sha256()
    for piece in json.JSONEncoder(sort_keys=True, default=str).iterencode(body):
        digest.update(piece.encode())
    return digest.hexdigest()
