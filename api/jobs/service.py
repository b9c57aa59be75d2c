"""The service itself: accepts jobs, runs them, answers for them, over HTTP or a Ray handle."""

import asyncio
import contextvars
import logging
import secrets
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from api.errors import JobCancelledError
from api.jobs.acceptance import Acceptance, Posted
from api.jobs.allowance import Allowance
from api.jobs.answers import Answers, Outlook
from api.jobs.ended_log import log_end
from api.jobs.estimates import RunTimes
from api.jobs.event_board import EventBoard
from api.jobs.event_hub import Hub
from api.jobs.following import Following
from api.jobs.hub_link import HubLink
from api.jobs.leftovers import forget_deleted
from api.jobs.listing import job_page
from api.jobs.request_reader import RequestReader
from api.jobs.requests import JobRequests
from api.jobs.run import Workplace
from api.jobs.runner import Prepared, Runner
from api.jobs.webhook_delays import DELAYS_S
from api.jobs.webhooks import Signer, Webhooks
from api.jobs.worker import Worker, WorkerLimits
from api.keys.access import Caller
from api.large_requests import LargeRequests
from api.metrics.service_metrics import ServiceMetrics
from api.models.intake import ModelIntake
from api.schemas import ExecuteRequest
from api.workflow_bodies import with_workflow
from storage.assets import Assets
from storage.counters import Counters
from storage.database import Database
from storage.encryption import Cipher
from storage.fetch import Fetcher
from storage.inputs import Inputs
from storage.jobs.job_charges import JobCharges
from storage.jobs.leases import JobLeases
from storage.jobs.outbox import Outbox, WebhookEvent
from storage.jobs.output_names import JobNames
from storage.jobs.prompts import Prompts
from storage.jobs.records import JobFilter, JobRecord, JobRecords, MissingJobError, QueueLimits
from storage.output_names import NameCounter, Names
from storage.outputs import OutputStore
from storage.owner_disk import OwnerDisk
from storage.uploads import Uploads
from storage.user_data import UserData
from storage.user_settings import UserSettings

LOG = logging.getLogger(__name__)
SWEEP_EVERY_S = 600.0
ENDING_S = 2.0  # how long a cancel waits for an end to be written, after the job has stopped


@dataclass(frozen=True)
class Limits:
    """How much the service takes on, and how it keeps time."""

    running: int = 4
    queue: QueueLimits = field(default_factory=QueueLimits)
    deadline_s: float = 3600.0
    stop_s: float = 10.0  # how long a job may take to stop, and a try to write its end
    events_kept: int = 2000  # per job
    events_kept_s: float = 300.0  # after its end
    beat_s: float = 15.0  # a silent event stream gives a sign of life this often
    lease_s: float = 15.0  # after which a job of a replica that died is taken up
    look_s: float = 1.0  # how often a replica looks what others did
    watch_s: float = 0.5  # how often it looks at jobs that somebody here waits for
    forget_s: float = 15.0  # how often it drops results of jobs that were deleted elsewhere
    keep_prompts: bool = True  # of ComfyUI's API, as long as their jobs
    retention_s: float = 7 * 24 * 3600.0
    webhook_delays_s: tuple[float, ...] = DELAYS_S


@dataclass(frozen=True)
class Stores:
    """Where jobs, files and webhooks go, and where inputs come from."""

    database: Database
    jobs: JobRecords
    outbox: Outbox
    outputs: OutputStore
    uploads: Uploads
    inputs: Inputs
    fetcher: Fetcher
    request_cipher: Cipher
    webhook_signer: Signer
    models: ModelIntake
    charges: JobCharges
    disk: OwnerDisk
    user_settings: UserSettings
    user_data: UserData
    counters: Counters
    prompts: Prompts
    assets: Assets


class Service:
    """One replica's. Belongs to one event loop; `open` before use, `close` at the end.

    `base_url` makes the URLs in answers absolute; without one they are paths.
    """

    def __init__(
        self,
        runner: Runner,
        stores: Stores,
        limits: Limits | None = None,
        metrics: ServiceMetrics | None = None,
        *,
        hub: Hub | None = None,
        large: LargeRequests | None = None,
    ) -> None:
        """With a `hub`, events of jobs that other replicas run are read here too.

        `large` reads requests that are too large for this process.
        """
        self.runner = runner
        self.stores = stores
        self.metrics = metrics or ServiceMetrics()
        self.limits = limits = limits or Limits()
        self._answers = Answers(stores.outputs)
        self._background: set[asyncio.Task[Any]] = set()
        self._times = RunTimes()
        self.worker_id = secrets.token_hex(8)
        self._leases = JobLeases(stores.database, self.worker_id, lease_s=limits.lease_s)
        self.board = EventBoard(limits.events_kept)
        self._link = HubLink(hub, self.board, self.worker_id) if hub else None
        self.board.link = self._link
        self.large = large
        self.requests = JobRequests(stores.request_cipher, large)
        self._worker = self._make_worker(self.requests)
        self.following = Following(
            self._worker,
            stores.jobs,
            self._leases,
            self._answers,
            self.board,
            beat_s=limits.beat_s,
            watch_s=limits.watch_s,
        )
        self._reader = RequestReader(runner.prepare, stores.fetcher.check)
        self.acceptance = self._make_acceptance(self.requests)
        self.webhooks = Webhooks(
            stores.outbox,
            stores.fetcher,
            stores.webhook_signer,
            self._payload,
            limits.webhook_delays_s,
        )
        self.metrics.watch(self._worker)

    async def open(self) -> None:
        """Make ready, and take up what replicas that are gone left unfinished."""
        await self.stores.database.open()
        forget = forget_deleted(self.runner, self.stores.jobs, self.limits.forget_s)
        for work in (self._worker.work(), self.webhooks.work(), self._sweep(), forget):
            self._spawn(work)
        if self._link:
            self._spawn(self._link.publish())
            self._spawn(self._link.listen())

    def check(self) -> None:
        """Raises what ended something that runs for as long as the service does."""
        for task in self._background:
            if task.done():
                task.result()

    async def close(self) -> None:
        """Stop, and leave unfinished jobs to the next replica."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.following.close()
        await self._worker.close()
        await self.webhooks.close()
        await self.stores.fetcher.close()
        self.stores.uploads.pictures.close()
        if self.large:
            self.large.close()
        await self.stores.models.close()
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
        body = with_workflow({name: value for name, value in body.items() if name != "key"})
        request = await self._reader.request(caller.owner, body)
        if request.dry_run:
            quoted = await self._reader.prepared(caller.owner, request, body)
            meta = {"status": "success", "dry_run": True, "meta": quoted.meta}
            more = {**quoted.quote, "skipped": list(quoted.skipped)}
            return {**meta, **self.acceptance.estimate(quoted), **more}
        posted = Posted(base_url, idempotency_key)
        record = await self.acceptance.accept(caller, request, body, posted)
        return await self.answer_within(record, request.wait_s, base_url)

    async def answer_within(
        self, record: JobRecord, wait_s: float, base_url: str
    ) -> dict[str, Any]:
        """What execute answers, once the job has ended or `wait_s` is over."""
        if wait_s > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self.following.until_ended(record)
            if not (run := self._worker.run_of(record.id)) or not run.record.ended:
                return await self.answer(record.owner, record.id, base_url=base_url)
        return await self.following.answer(self._worker.run_of(record.id), record, base_url)

    async def post(
        self, caller: Caller, body: Mapping[str, Any], posted: Posted
    ) -> tuple[JobRecord, Prepared]:
        """Accept a job of ComfyUI's API; its body is kept as long as `retain_inputs` in it says.

        Raises:
            ServiceError: nothing was accepted.
        """
        request = ExecuteRequest.read(body)
        prepared = await self._reader.prepared(caller.owner, request, body)
        stored = {**body, "outputs": list(prepared.output_ids)}
        return await self.acceptance.record(caller, request, stored, prepared, posted), prepared

    async def answer(self, owner: str, job_id: int, *, base_url: str = "") -> dict[str, Any]:
        """The contract's fetch.

        Raises:
            MissingJobError: the owner has no such job.
        """
        run, record = await self.following.find(owner, job_id)
        return await self.following.answer(run, record, base_url)

    async def cancel(self, owner: str, job_id: int, *, base_url: str = "") -> dict[str, Any]:
        """Stop a job, whichever replica runs it, and answer for it; an ended one stays as it is.

        Raises:
            MissingJobError: the owner has no such job.
        """
        await self.stop(owner, job_id)
        return await self.answer(owner, job_id, base_url=base_url)

    async def delete(self, owner: str, job_id: int) -> None:
        """Stop a job and remove all that is kept of it.

        Raises:
            MissingJobError: the owner has no such job.
        """
        await self.stop(owner, job_id)
        await self.stores.jobs.delete(owner, job_id)
        self._worker.forget(job_id)
        self.runner.forget({job_id})
        await self.stores.outputs.remove(owner, job_id)

    async def ended(self, owner: str, job_id: int) -> None:
        """Until the job has ended, whichever replica runs it.

        Raises:
            MissingJobError: the owner has no such job.
        """
        _, record = await self.following.find(owner, job_id)
        await self.following.until_ended(record)

    async def jobs(
        self, owner: str, which: JobFilter, *, cursor: str = "", base_url: str = ""
    ) -> dict[str, Any]:
        """A page of the owner's jobs, newest first."""
        stored, answers = self.stores.jobs, self._answers
        return await job_page(stored, answers, owner, which, cursor=cursor, base_url=base_url)

    async def job(self, owner: str, job_id: int, *, base_url: str = "") -> dict[str, Any]:
        """A job as the list has it.

        Raises:
            MissingJobError: the owner has no such job.
        """
        record = await self.stores.jobs.get(owner, job_id)
        return self._answers.summary(record, base_url)

    async def drop_waiting(self, record: JobRecord) -> bool:
        """Delete a job that nobody runs yet; False where somebody does."""
        if record.status != "queued":
            return False
        if not await self._worker.end_unrun(record, JobCancelledError()):
            return False
        return await self.stores.jobs.delete(record.owner, record.id)

    async def stop(self, owner: str, job_id: int) -> None:
        """Have a job end, whatever its state, and wait for it for a while.

        Raises:
            MissingJobError: the owner has no such job.
        """
        run, record = await self.following.find(owner, job_id)
        if run:
            run.cancel()
        while not (run or record.ended):
            if record.status == "queued":
                cancelled = await self._worker.end_unrun(record, JobCancelledError())
            else:
                cancelled = await self.stores.jobs.ask_to_cancel(record)
            if cancelled:
                break
            run, record = await self.following.find(owner, job_id)  # it has just moved on
            if run:
                run.cancel()
        with suppress(TimeoutError, MissingJobError):
            async with asyncio.timeout(self.limits.stop_s + ENDING_S):
                await self.following.until_ended(record)

    async def _payload(self, event: WebhookEvent) -> dict[str, Any]:
        record = await self.stores.jobs.get(event.owner, event.job_id)
        return await self._answers.answer(record, event.base_url, Outlook())

    def _moved(self, record: JobRecord) -> None:
        """A job began, ended, or was lost here."""
        self.following.tell(record.id)
        if record.ended:
            self.metrics.ended(record)
            log_end(record)
            if record.webhook:
                self.webhooks.wake()

    async def _sweep(self) -> None:
        while True:
            for sweep in (
                self.stores.jobs.catch_up,
                partial(self.stores.jobs.sweep, time.time() - self.limits.retention_s),
                partial(self.stores.counters.sweep, time.time() - self.limits.retention_s),
                partial(asyncio.to_thread, self.stores.outputs.sweep),
                partial(asyncio.to_thread, self.stores.uploads.sweep),
                partial(self.stores.disk.set_right, self.stores.outputs.files),
                self.stores.models.sweep,
                self.stores.assets.sweep,
            ):
                try:
                    await sweep()
                except Exception:
                    LOG.exception("a sweep failed; it is tried again in %g s", SWEEP_EVERY_S)
            await asyncio.sleep(SWEEP_EVERY_S)

    def _names(self, record: JobRecord) -> Names:
        """ComfyUI's numbers go on from job to job; /api/v7 begins each job at 1."""
        if record.face == "comfyui":
            return JobNames(self.stores.database, record.owner, record.id)
        return NameCounter()

    def _make_worker(self, requests: JobRequests) -> Worker:
        limits = self.limits
        place = Workplace(
            self.runner,
            self.stores.jobs,
            self.stores.outputs,
            limits.deadline_s,
            limits.stop_s,
            self.board,
            self._times.learn,
            partial(Allowance, self.stores.database, self.stores.charges),
            self._names,
        )
        kept = WorkerLimits(limits.running, limits.look_s, limits.events_kept_s)
        return Worker(place, self._leases, requests, kept, self._moved)

    def _make_acceptance(self, requests: JobRequests) -> Acceptance:
        return Acceptance(
            self._reader,
            self.stores.jobs,
            self._worker,
            self._leases,
            requests,
            self._times,
            self.limits.queue,
            self.metrics,
            self.stores.charges,
        )

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run in the background, apart from whatever request is being served."""
        loop = asyncio.get_running_loop()
        self._background.add(loop.create_task(work, context=contextvars.Context()))
