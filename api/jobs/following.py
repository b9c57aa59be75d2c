"""Status and events of jobs for their owners, whichever replica runs them."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from api.jobs.answers import Answers, Outlook
from api.jobs.events import JobEvent
from api.jobs.run import JobRun
from api.jobs.watch import JobWatch
from api.jobs.worker import Worker
from storage.jobs.leases import JobLeases
from storage.jobs.records import JobRecord, JobRecords, MissingJobError
from storage.outputs import StoredOutput

FINAL = frozenset({"success", "failed", "cancelled"})


class Following:
    """Finds jobs, waits for them, and tells how they go. Belongs to one event loop.

    `beat_s`: a silent event stream gives a sign of life this often. `watch_s`: so often it looks at
    jobs that run elsewhere, while somebody here waits for them.
    """

    def __init__(
        self,
        worker: Worker,
        jobs: JobRecords,
        leases: JobLeases,
        answers: Answers,
        *,
        beat_s: float,
        watch_s: float,
    ) -> None:
        self._worker = worker
        self._jobs = jobs
        self._leases = leases
        self._answers = answers
        self._watch = JobWatch(jobs, watch_s)
        self._beat_s = beat_s
        self._watch_s = watch_s

    def tell(self, job_id: int) -> None:
        """This replica has moved the job."""
        self._watch.tell(job_id)

    async def find(self, owner: str, job_id: int) -> tuple[JobRun | None, JobRecord]:
        """The job, and its run where it runs here.

        Raises:
            MissingJobError: the owner has no such job.
        """
        run = self._worker.run_of(job_id)
        if run is None or run.record.ended:  # another replica may have deleted what has ended
            return run, await self._jobs.get(owner, job_id)
        if run.record.owner != owner:
            raise MissingJobError(str(job_id))
        return run, run.record

    async def answer(self, run: JobRun | None, record: JobRecord, base_url: str) -> dict[str, Any]:
        """The contract's answer to a fetch of the job, or of its run."""
        record = run.record if run else record
        outlook = Outlook() if record.ended else await self._outlook(run, record)
        return await self._answers.answer(record, base_url, outlook)

    async def until_ended(self, record: JobRecord) -> None:
        """Until the job has ended, wherever it runs, or is deleted."""
        while not record.ended:
            run = self._worker.run_of(record.id)
            if run and not run.ended.done():
                await asyncio.wait([run.ended])
                record = run.record
                continue
            try:
                record = await self._jobs.get(record.owner, record.id)
            except MissingJobError:
                return
            if not record.ended:
                await self._watch.moved(record)

    async def last_event_id(self, owner: str, job_id: int) -> int | None:
        """The id of the job's final event, None while it has not ended.

        Raises:
            MissingJobError: the owner has no such job.
        """
        _, record = await self.find(owner, job_id)
        return record.last_event if record.ended else None

    async def events(
        self, owner: str, job_id: int, *, after: int = 0, base_url: str = ""
    ) -> AsyncIterator[JobEvent | None]:
        """What happened after event `after`, and on as it happens; None is a sign of life.

        The final event carries the answer. Long after a job's end only that one is left; of a
        job that another replica runs there are its place in the queue, its start and its end.
        """
        while True:
            run, record = await self.find(owner, job_id)
            if run:
                async for event in run.log.after(after, self._beat_s):
                    after = event.id if event else after
                    yield event and await self._told(run, event, base_url)
                if run.record.ended:
                    return
                await asyncio.sleep(self._watch_s)  # lost: it goes on elsewhere, or here
            elif record.ended:
                yield await self._final(
                    record, JobEvent(record.last_event, record.status, {}), base_url
                )
                return
            else:
                async for event in self._elsewhere(record):
                    yield event
                after = max(after, 1)

    async def _elsewhere(self, record: JobRecord) -> AsyncIterator[JobEvent | None]:
        """What can be told of a job that does not run here, until it moves."""
        position = (await self._outlook(None, record)).queue_position
        yield JobEvent(1, "queued", {"queue_position": position})
        moved = asyncio.create_task(self._watch.moved(record))
        try:
            while not (await asyncio.wait([moved], timeout=self._beat_s))[0]:
                yield None
        finally:
            moved.cancel()

    async def _told(self, run: JobRun, event: JobEvent, base_url: str) -> JobEvent:
        """An event of the log as it is told."""
        if event.type == "output":
            output = StoredOutput.from_json(event.data)
            return replace(event, data=self._answers.output(run.record, output, base_url))
        return await self._final(run.record, event, base_url) if event.type in FINAL else event

    async def _final(self, record: JobRecord, event: JobEvent, base_url: str) -> JobEvent:
        answer = await self._answers.answer(record, base_url, Outlook(), inline=False)
        return JobEvent(event.id, event.type, answer)

    async def _outlook(self, run: JobRun | None, record: JobRecord) -> Outlook:
        estimate_s = record.estimate_s
        if run or record.status == "running":
            spent_s = time.time() - (record.started_s or record.created_s)
            return Outlook(0, max(estimate_s - spent_s, 0.25))
        position = await self._leases.queue_position(record)
        return Outlook(position.position, position.ahead_s / max(1, position.running) + estimate_s)
