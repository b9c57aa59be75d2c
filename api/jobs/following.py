"""Status and events of jobs for their owners, whichever replica runs them."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, TypeAlias

from api.jobs.answers import Answers, Outlook
from api.jobs.event_board import EventBoard
from api.jobs.event_log import EventLog
from api.jobs.events import Ended, Happened, JobAddress, Queued, Saved, ended_event
from api.jobs.run import JobRun
from api.jobs.watch import JobWatch
from api.jobs.wire_events import WireEvent, wire_event
from api.jobs.worker import PastRun, Worker
from storage.jobs.leases import JobLeases
from storage.jobs.records import JobRecord, JobRecords, MissingJobError

Run: TypeAlias = JobRun | PastRun
GRACE_S = 0.5  # for the last events of a job that ended elsewhere


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
        board: EventBoard,
        *,
        beat_s: float,
        watch_s: float,
    ) -> None:
        self._worker = worker
        self._jobs = jobs
        self._leases = leases
        self._answers = answers
        self._board = board
        self._watch = JobWatch(jobs, watch_s)
        self._beat_s = beat_s
        self._watch_s = watch_s

    async def close(self) -> None:
        """Wait for jobs of other replicas no more."""
        await self._watch.close()

    def tell(self, job_id: int) -> None:
        """This replica has moved the job."""
        self._watch.tell(job_id)

    async def find(self, owner: str, job_id: int) -> tuple[Run | None, JobRecord]:
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

    async def answer(self, run: Run | None, record: JobRecord, base_url: str) -> dict[str, Any]:
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
    ) -> AsyncIterator[WireEvent | None]:
        """What happened after event `after`, and on as it happens; None is a sign of life.

        The final event carries the answer. Long after a job's end only that one is left.
        """
        async with aclosing(self.happened(owner, job_id, after=after)) as happened:
            async for record, event in happened:
                if event is None:
                    yield None
                elif shown := await self._wire_event(record, event, base_url):
                    yield shown

    async def happened(
        self, owner: str, job_id: int, *, after: int = 0
    ) -> AsyncGenerator[tuple[JobRecord, Happened | None]]:
        """As `events`, as typed events, each with the job as it is then."""
        async with self._board.following(owner):
            while True:
                run, record = await self.find(owner, job_id)
                if run is None and record.ended:
                    yield record, _end_of(record)
                    return
                source = self._here(run, after) if run else self._elsewhere(record, after)
                async with aclosing(source):
                    async for event in source:
                        after = max(after, event.id) if event else after
                        yield (run.record if run else record), event
                if run and run.record.ended:
                    return
                after = max(after, 1)

    async def so_far(self, owner: str, job_id: int) -> tuple[JobRecord, tuple[Happened, ...]]:
        """The job, and what is still known of what happened to it.

        Raises:
            MissingJobError: the owner has no such job.
        """
        async with self._board.following(owner):
            run, record = await self.find(owner, job_id)
            log = run.log if run else self._board.log_of_other(JobAddress.of(record))
            return record, log.events

    async def queue_position(self, record: JobRecord) -> int:
        """How many jobs are begun before this one."""
        return (await self._outlook(None, record)).queue_position

    async def _here(self, run: Run, after: int) -> AsyncGenerator[Happened | None]:
        async for event in run.log.after(after, self._beat_s):
            yield event
        if not run.record.ended:
            await asyncio.sleep(self._watch_s)  # lost: it goes on elsewhere, or here

    async def _elsewhere(self, record: JobRecord, after: int) -> AsyncGenerator[Happened | None]:
        """The events of a job that does not run here, until it moves."""
        if after < 1 or record.status == "queued":
            queued = Queued(await self.queue_position(record))
            yield Happened(JobAddress.of(record), 1, time.time(), queued)
        log = self._board.log_of_other(JobAddress.of(record))
        moved = asyncio.create_task(self._moved(record, log))
        moved.add_done_callback(lambda _: log.wake())
        try:
            async for event in log.after(max(after, 1), self._beat_s, moved):
                if event and isinstance(event.event, Ended):
                    return  # its record has it too
                yield event
        finally:
            moved.cancel()

    async def _moved(self, record: JobRecord, log: EventLog) -> None:
        """Until the job is no more as the record says, and its last events had time to come."""
        await self._watch.moved(record)
        if log.events and not log.ended:
            await asyncio.sleep(GRACE_S)

    async def _wire_event(
        self, record: JobRecord, event: Happened, base_url: str
    ) -> WireEvent | None:
        """An event as it is told."""
        if isinstance(event.event, Ended):
            return await self._final(record, event.id, base_url)
        if isinstance(event.event, Saved):
            output = self._answers.output(record, event.event.output, base_url)
            return WireEvent(event.id, "output", output)
        return wire_event(event)

    async def _final(self, record: JobRecord, event_id: int, base_url: str) -> WireEvent:
        answer = await self._answers.answer(record, base_url, Outlook(), inline=False)
        return WireEvent(event_id, record.status, answer)

    async def _outlook(self, run: Run | None, record: JobRecord) -> Outlook:
        estimate_s = record.estimate_s
        if run or record.status == "running":
            spent_s = time.time() - (record.started_s or record.created_s)
            return Outlook(0, max(estimate_s - spent_s, 0.25))
        position = await self._leases.queue_position(record)
        return Outlook(position.position, position.ahead_s / max(1, position.running) + estimate_s)


def _end_of(record: JobRecord) -> Happened:
    ended_s = record.ended_s or record.created_s
    return Happened(JobAddress.of(record), record.last_event, ended_s, ended_event(record))
