"""One job as this replica runs it: begun once, and ended exactly once, here or elsewhere."""

import asyncio
import contextvars
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from api.errors import DeadlineError, JobCancelledError, known, message_body
from api.jobs.answers import ended_answer, timings_json
from api.jobs.events import EventLog
from api.jobs.runner import Event, Prepared, Runner, RunningJob
from api.schemas import ExecuteRequest
from graph.errors import ServiceError
from graph.execution import NodeTiming
from storage.jobs.records import JobRecord, JobRecords, JobStatus
from storage.outputs import JobOutputs, OutputStore, StoredOutput
from storage.pictures import Encoding

LOG = logging.getLogger(__name__)
EVENTS_PER_EPOCH = 10**6  # so that event ids rise when a job is begun again
RETRY_PAUSES_S = (0.2, 1.0, 3.0, 5.0)  # between tries to write a job's end


@dataclass(frozen=True)
class Workplace:
    """What every run shares. `learn` hears how long the nodes of a prompt took."""

    runner: Runner
    jobs: JobRecords
    outputs: OutputStore
    deadline_s: float
    events_kept: int
    learn: Callable[[Mapping[str, Any], tuple[NodeTiming, ...]], None]


class JobRun:
    """Runs one recorded job under this replica's lease. Belongs to one event loop.

    Its tasks start in an empty context: a request handler's own would have them cancelled when
    the client disconnects. `prepared` is there where the workflow was read just now.
    """

    def __init__(
        self,
        record: JobRecord,
        body: Mapping[str, Any],
        place: Workplace,
        prepared: Prepared | None = None,
    ) -> None:
        self.record = record
        self.log = EventLog(place.events_kept, last_id=EVENTS_PER_EPOCH * (record.epoch - 1))
        self._place = place
        self.abandoned = False
        self._asked_to_end: ServiceError | None = None
        self._warnings: list[str] = []
        self._files: JobOutputs | None = None
        self._meta: dict[str, Any] = {}
        self.log.add("queued", {"queue_position": 0})
        loop = asyncio.get_running_loop()
        empty = contextvars.Context()
        self._work = loop.create_task(self._do(body, prepared), context=empty)
        self.ended = loop.create_task(self._whole(ExecuteRequest.read(body)), context=empty)

    @property
    def ending(self) -> bool:
        """Whether there is nothing left to stop: it has ended, or is just being written so."""
        return self._work.done()

    def cancel(self) -> None:
        """Ask it to end now. Harmless afterwards."""
        if self._work.cancel():
            self._asked_to_end = JobCancelledError()

    def abandon(self) -> None:
        """Stop, and say nothing: the job is another's now, or will be."""
        self.abandoned = True
        self._work.cancel()

    async def _whole(self, request: ExecuteRequest) -> None:
        """Wait for the work, however it ends, and record it."""
        await asyncio.wait([self._work])
        try:
            if not self.abandoned:
                record = replace(self.record, **self._outcome(request), ended_s=time.time())
                if await self._saved(record, keep_request=request.retain_inputs):
                    self.record = record
                    self.log.add(record.status, {})
        finally:
            self.log.close()

    async def _saved(self, record: JobRecord, *, keep_request: bool) -> bool:
        """Whether the end was written; a database that is away for a moment is waited for."""
        for pause_s in RETRY_PAUSES_S:
            try:
                return await self._place.jobs.end(record, keep_request=keep_request)
            except (SQLAlchemyError, OSError):
                LOG.exception("job %d: its end could not be written yet", record.id)
                await asyncio.sleep(pause_s)
        return await self._place.jobs.end(record, keep_request=keep_request)

    async def _do(
        self, body: Mapping[str, Any], prepared: Prepared | None
    ) -> tuple[NodeTiming, ...]:
        place, record = self._place, self.record
        scope = asyncio.timeout(place.deadline_s)
        try:
            async with scope:
                if record.epoch > 1:  # what an earlier run of it left is not listed twice
                    await asyncio.to_thread(place.outputs.remove, record.owner, record.id)
                prepared = prepared or await place.runner.prepare(record.owner, body)
                self._meta = dict(prepared.meta)
                folder = place.outputs.job_folder(record.owner, record.id)
                encoding = _encoding(ExecuteRequest.read(body), prepared)
                self._files = JobOutputs(folder, encoding, self._on_stored)
                warn = self._warnings.append
                job = RunningJob(record.owner, record.id, self._files, self._on_event, warn)
                timings = await place.runner.run(prepared, job)
        except Exception as error:
            if scope.expired():  # whatever the runner makes of being cancelled
                raise DeadlineError(place.deadline_s) from error
            raise
        place.learn(prepared.prompt, timings)
        return timings

    def _outcome(self, request: ExecuteRequest) -> dict[str, Any]:
        """How the work ended, as columns of the record."""
        meta = self._meta
        if self._warnings:
            meta["warnings"] = [*meta.get("warnings", ()), *self._warnings]
        outputs = self._files.outputs if self._files else ()
        answer = ended_answer(self.record, outputs, meta, inline=request.base64)
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


def _encoding(request: ExecuteRequest, prepared: Prepared) -> Encoding:
    """How pictures are written, and the documents that go into them."""
    documents: dict[str, Mapping[str, Any] | None] = {
        "prompt": prepared.prompt,
        "workflow": prepared.workflow,
    }
    wanted = request.metadata and request.format == "png"
    text = {name: json.dumps(it) for name, it in documents.items() if wanted and it is not None}
    return Encoding(request.format, request.quality, text=text)
