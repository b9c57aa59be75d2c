"""The service itself: accepts jobs, runs them, answers for them, over HTTP or a Ray handle."""

import asyncio
import contextvars
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from api.access import Caller
from api.answers import Answers, Outlook
from api.errors import ServiceStoppedError, message_body, one_field
from api.events import JobEvent
from api.job_list import job_page
from api.job_queue import JobQueue
from api.job_run import Accepted, JobRun, Workplace
from api.metrics import ServiceMetrics
from api.runner import Runner
from api.schemas import ExecuteRequest
from api.webhooks import deliver
from storage.database import Database
from storage.fetch import Fetcher, FetchError, checked_url
from storage.inputs import Inputs
from storage.jobs import JobFilter, JobRecord, JobRecords, MissingJobError
from storage.outputs import OutputStore, StoredOutput
from storage.uploads import Uploads

LOG = logging.getLogger(__name__)
STOP_WAIT_S = 10.0  # how long a cancel, or the service's end, waits for a job to stop
SWEEP_EVERY_S = 600.0


@dataclass(frozen=True)
class Limits:
    """How much the service takes on."""

    running: int = 4
    queued: int = 256
    deadline_s: float = 3600.0
    events_kept: int = 2000  # per job
    events_kept_s: float = 300.0  # after its end
    beat_s: float = 15.0  # a silent event stream gives a sign of life this often


@dataclass(frozen=True)
class Stores:
    """Where jobs, files and webhooks go, and where inputs come from."""

    database: Database
    jobs: JobRecords
    outputs: OutputStore
    uploads: Uploads
    inputs: Inputs
    fetcher: Fetcher


class Service:
    """Belongs to one event loop; `open` before use, `close` at the end.

    `base_url` makes the URLs in answers absolute; without one they are paths.
    """

    def __init__(
        self,
        runner: Runner,
        stores: Stores,
        limits: Limits | None = None,
        metrics: ServiceMetrics | None = None,
    ) -> None:
        self.runner = runner
        self.stores = stores
        self.metrics = metrics or ServiceMetrics()
        self._limits = limits or Limits()
        self._answers = Answers(stores.outputs)
        self._queue = JobQueue(running=self._limits.running, queued=self._limits.queued)
        self._runs: dict[int, JobRun] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self.metrics.watch(self._queue)

    async def open(self) -> None:
        """Make ready; what an earlier process left unfinished is marked as failed."""
        await self.stores.database.open()
        left = await self.stores.jobs.fail_unfinished(message_body(ServiceStoppedError()))
        if left:
            LOG.warning("%d jobs of an earlier process were left unfinished", left)
        self._spawn(self._sweep())

    async def close(self) -> None:
        """End all jobs, recording that the service stopped."""
        unfinished = [run for run in self._runs.values() if not run.ended.done()]
        for run in unfinished:
            run.cancel(stopping=True)
        if unfinished:
            await asyncio.wait([run.ended for run in unfinished], timeout=STOP_WAIT_S)
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.stores.fetcher.close()
        await self.stores.database.close()

    async def execute(
        self,
        caller: Caller,
        body: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
        base_url: str = "",
    ) -> dict[str, Any]:
        """Accept a job and answer after at most `wait` seconds: the contract's execute.

        Raises:
            ServiceError: nothing was accepted.
        """
        owner, request = caller.owner, ExecuteRequest.read(body)
        body = {name: value for name, value in body.items() if name != "key"}
        if request.dry_run:
            quoted = await self.runner.prepare(owner, body)
            return {"status": "success", "dry_run": True, "meta": quoted.meta, **quoted.quote}
        record = _record(owner, request, body, idempotency_key)
        record = await self._earlier(record) or await self._accept(record, request, body, base_url)
        run = self._runs.get(record.id)
        if run and request.wait_s > 0:
            await asyncio.wait([run.ended], timeout=request.wait_s)
        return await self.answer(owner, record.id, base_url=base_url)

    async def answer(self, owner: str, job_id: int, *, base_url: str = "") -> dict[str, Any]:
        """The contract's fetch.

        Raises:
            MissingJobError: the owner has no such job.
        """
        run, record = await self._find(owner, job_id)
        outlook = run.outlook() if run and not record.ended else Outlook()
        return await self._answers.answer(record, base_url, outlook)

    async def cancel(self, owner: str, job_id: int, *, base_url: str = "") -> dict[str, Any]:
        """Stop a job and answer for it; of one that has ended nothing changes.

        Raises:
            MissingJobError: the owner has no such job.
        """
        run, _ = await self._find(owner, job_id)
        if run:
            run.cancel()
            await asyncio.wait([run.ended], timeout=STOP_WAIT_S)
        return await self.answer(owner, job_id, base_url=base_url)

    def run(self, job_id: int) -> asyncio.Task[None]:
        """What ends when the job, one of this process, has ended."""
        return self._runs[job_id].ended

    async def jobs(
        self, owner: str, which: JobFilter, *, cursor: str = "", base_url: str = ""
    ) -> dict[str, Any]:
        """A page of the owner's jobs, newest first."""
        return await job_page(self.stores.jobs, owner, which, cursor, base_url)

    async def last_event_id(self, owner: str, job_id: int) -> int | None:
        """The id of the job's final event, None while it has not ended.

        Raises:
            MissingJobError: the owner has no such job.
        """
        _, record = await self._find(owner, job_id)
        return record.last_event if record.ended else None

    async def events(
        self, owner: str, job_id: int, *, after: int = 0, base_url: str = ""
    ) -> AsyncIterator[JobEvent | None]:
        """What happened after event `after`, and on as it happens; None is a sign of life.

        The final event carries the answer. Long after a job's end only that one is left.
        """
        run, record = await self._find(owner, job_id)
        if run is None:
            yield await self._final(
                record, JobEvent(record.last_event, record.status, {}), base_url
            )
            return
        async for event in run.log.after(after, self._limits.beat_s):
            if event is None or event.type not in {"output", "success", "failed", "cancelled"}:
                yield event
            elif event.type == "output":
                output = StoredOutput.from_json(event.data)
                entry = self._answers.output(run.record, output, base_url)
                yield JobEvent(event.id, event.type, entry)
            else:
                yield await self._final(run.record, event, base_url)

    async def _accept(
        self, record: JobRecord, request: ExecuteRequest, body: Mapping[str, Any], base_url: str
    ) -> JobRecord:
        """Read the workflow, take a place, record the job, and only then start it."""
        self._queue.check()
        prepared = await self.runner.prepare(record.owner, body)
        ticket = self._queue.enter(record.owner, record.priority)
        try:
            added = await self.stores.jobs.add(record)
        except BaseException:
            self._queue.leave(ticket)
            raise
        if added is not record:  # the same request came twice at once, and the other was faster
            self._queue.leave(ticket)
            return added
        self._start(added, Accepted(request, prepared, ticket), base_url)
        return added

    def _start(self, record: JobRecord, accepted: Accepted, base_url: str) -> None:
        place = Workplace(
            self.runner,
            self.stores.jobs,
            self.stores.outputs,
            self._queue,
            self._limits.deadline_s,
            self._limits.events_kept,
        )
        run = self._runs[record.id] = JobRun(record, accepted, place)
        self.metrics.accepted.inc()
        self._spawn(self._after(run, base_url))

    async def _after(self, run: JobRun, base_url: str) -> None:
        """What follows a job's end: figures, the webhook, and in the end forgetting it."""
        await asyncio.wait([run.ended])
        record = run.record
        self.metrics.ended(record)
        if record.webhook:
            body = await self._answers.answer(record, base_url, Outlook())
            self._spawn(deliver(self.stores.fetcher, record.webhook, body))
        await asyncio.sleep(self._limits.events_kept_s)
        del self._runs[record.id]

    async def _find(self, owner: str, job_id: int) -> tuple[JobRun | None, JobRecord]:
        run = self._runs.get(job_id)
        if run is None:
            return None, await self.stores.jobs.get(owner, job_id)
        if run.record.owner != owner:
            raise MissingJobError(str(job_id))
        return run, run.record

    async def _earlier(self, record: JobRecord) -> JobRecord | None:
        if record.idempotency_key is None:
            return None
        key, body_hash = record.idempotency_key, record.body_hash or ""
        return await self.stores.jobs.replayed(record.owner, key, body_hash)

    async def _final(self, record: JobRecord, event: JobEvent, base_url: str) -> JobEvent:
        answer = await self._answers.answer(record, base_url, Outlook(), inline=False)
        return JobEvent(event.id, event.type, answer)

    async def _sweep(self) -> None:
        while True:
            await asyncio.to_thread(self.stores.outputs.sweep)
            await asyncio.sleep(SWEEP_EVERY_S)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run in the background, apart from whatever request is being served."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(work, context=contextvars.Context())
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _record(
    owner: str, request: ExecuteRequest, body: Mapping[str, Any], idempotency_key: str | None
) -> JobRecord:
    _check_callback(request.callback)
    canonical = json.dumps(body, sort_keys=True, default=str).encode()
    return JobRecord(
        owner,
        priority=request.priority,
        track_id=request.track_id,
        webhook=request.callback,
        idempotency_key=idempotency_key,
        body_hash=hashlib.sha256(canonical).hexdigest() if idempotency_key else None,
    )


def _check_callback(url: str | None) -> None:
    if url is None:
        return
    try:
        checked_url(url)
    except FetchError as error:
        raise one_field("webhook", f"{error.problem}", url) from error
