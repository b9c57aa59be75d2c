"""One accepted job in this process: it waits for its turn, runs, and ends exactly once."""

import asyncio
import contextvars
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from api.answers import Outlook, ended_answer, timings_json
from api.errors import (
    DeadlineError,
    JobCancelledError,
    ServiceStoppedError,
    known,
    message_body,
)
from api.events import EventLog
from api.job_queue import JobQueue, Ticket
from api.runner import Event, Prepared, Runner, RunningJob
from api.schemas import ExecuteRequest
from graph.errors import ServiceError
from graph.execution import NodeTiming
from storage.jobs import JobRecord, JobRecords, JobStatus
from storage.outputs import JobOutputs, OutputStore, StoredOutput
from storage.pictures import Encoding


@dataclass(frozen=True)
class Workplace:
    """What every run shares."""

    runner: Runner
    jobs: JobRecords
    outputs: OutputStore
    queue: JobQueue
    deadline_s: float
    events_kept: int


@dataclass(frozen=True)
class Accepted:
    """A request that may run: what was asked, how to do it, and its place in the queue."""

    request: ExecuteRequest
    prepared: Prepared
    ticket: Ticket


class JobRun:
    """Runs one recorded job. Belongs to one event loop.

    Its tasks start in an empty context: a request handler's own would have them cancelled when
    the client disconnects.
    """

    def __init__(self, record: JobRecord, accepted: Accepted, place: Workplace) -> None:
        self.record = record
        self.log = EventLog(place.events_kept)
        self._accepted = accepted
        self._place = place
        self._files = JobOutputs(
            place.outputs.job_folder(record.owner, record.id), self._encoding(), self._on_stored
        )
        self._asked_to_end: ServiceError | None = None
        self._warnings: list[str] = []
        self._started: asyncio.Task[None] | None = None
        self.log.add("queued", {"queue_position": place.queue.position(accepted.ticket)})
        loop = asyncio.get_running_loop()
        empty = contextvars.Context()
        self._work = loop.create_task(self._in_turn(), context=empty)
        self.ended = loop.create_task(self._whole(), context=empty)

    def cancel(self, *, stopping: bool = False) -> None:
        """Ask it to end now; `stopping` when it is the service that ends. Harmless afterwards."""
        if self._work.cancel():
            self._asked_to_end = ServiceStoppedError() if stopping else JobCancelledError()

    def outlook(self) -> Outlook:
        position = self._place.queue.position(self._accepted.ticket)
        whole_s = self._accepted.prepared.eta_s or 5.0
        spent_s = time.time() - self.record.started_s if self.record.started_s else 0.0
        turns = 1 + position / max(1, self._place.queue.most_running)
        return Outlook(position, max(whole_s * turns - spent_s, 0.25))

    async def _whole(self) -> None:
        """Wait for the work, however it ends, and record it."""
        await asyncio.wait([self._work])
        self._place.queue.leave(self._accepted.ticket)
        self.record = replace(self.record, **self._outcome(), ended_s=time.time())
        if self._started:
            await asyncio.wait([self._started])
        try:
            await self._place.jobs.save(self.record)
        finally:
            self.log.add(self.record.status, {})
            self.log.close()

    async def _in_turn(self) -> tuple[NodeTiming, ...]:
        place = self._place
        await self._accepted.ticket.turn.wait()
        self.record = replace(self.record, status="running", started_s=time.time())
        self._started = asyncio.create_task(place.jobs.save(self.record))  # while it runs already
        record, warn = self.record, self._warnings.append
        job = RunningJob(record.owner, record.id, self._files, self._on_event, warn)
        scope = asyncio.timeout(place.deadline_s)
        try:
            async with scope:
                return await place.runner.run(self._accepted.prepared, job)
        except Exception as error:
            if scope.expired():  # whatever the runner makes of being cancelled
                raise DeadlineError(place.deadline_s) from error
            raise

    def _outcome(self) -> dict[str, Any]:
        """How the work ended, as columns of the record."""
        inline = self._accepted.request.base64
        meta = dict(self._accepted.prepared.meta)
        if self._warnings:
            meta["warnings"] = [*meta.get("warnings", ()), *self._warnings]
        answer = ended_answer(self.record, self._files.outputs, meta, inline=inline)
        error = self._error()
        status: JobStatus = "success" if error is None else "failed"
        if isinstance(error, JobCancelledError):
            status = "cancelled"
        if error is None:
            answer["nodes"] = timings_json(self._work.result())
        return {
            "status": status,
            "answer": answer,
            "error": None if error is None else message_body(error),
            "last_event": self.log.last_id + 1,
        }

    def _error(self) -> ServiceError | None:
        """Why there is no result. A runner may turn its cancellation into an error of its own."""
        leaked = self._work.cancelled()
        error = asyncio.CancelledError() if leaked else self._work.exception()
        return None if error is None else self._asked_to_end or known(error)

    def _on_event(self, event: Event) -> None:
        if not self._work.done():  # nothing may follow the final event
            self.log.add(event.type, event.data)

    def _on_stored(self, output: StoredOutput) -> None:
        self.log.add("output", output.as_json())

    def _encoding(self) -> Encoding:
        request, prepared = self._accepted.request, self._accepted.prepared
        documents: dict[str, Mapping[str, Any] | None] = {
            "prompt": prepared.prompt,
            "workflow": prepared.workflow,
        }
        wanted = request.metadata and request.format == "png"
        text = {name: json.dumps(it) for name, it in documents.items() if wanted and it is not None}
        return Encoding(request.format, request.quality, text=text)
