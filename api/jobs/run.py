"""One run of a job on this replica: started once, and ended exactly once, here or elsewhere."""

import asyncio
import contextvars
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from api.errors import DeadlineError, JobCancelledError, JobOverError, known, message_body
from api.jobs.allowance import Allowance
from api.jobs.answers import bare_answer, ended_answer, timings_json
from api.jobs.displays import Displays
from api.jobs.ended_log import model_names
from api.jobs.ending import failed_end, write_end
from api.jobs.event_board import EventBoard
from api.jobs.events import Begun, JobAddress, JobEvent, Progressed, Saved, Shown, ended_event
from api.jobs.reached import Reached
from api.jobs.runner import Prepared, Runner, RunningJob
from api.schemas import ExecuteRequest
from graph.errors import ServiceError
from graph.execution import NodeTiming
from graph.node import Hidden
from storage.job_outputs import JobOutputs
from storage.jobs.job_charges import LENT, SENT
from storage.jobs.records import JobRecord, JobRecords, JobStatus
from storage.output_names import Names
from storage.outputs import OutputStore, StoredOutput
from storage.patience import patiently
from storage.pictures import Encoding

LOG = logging.getLogger(__name__)
EVENTS_PER_EPOCH = 10**6  # so that event ids rise when a job is begun again


@dataclass(frozen=True)
class Workplace:
    """What every run shares. `learn` hears how long the nodes of a prompt took.

    `stop_s`: how long a run that was told to stop may take before it is ended without.
    """

    runner: Runner
    jobs: JobRecords
    outputs: OutputStore
    deadline_s: float
    stop_s: float
    board: EventBoard
    learn: Callable[[Mapping[str, Any], tuple[NodeTiming, ...]], None]
    allowance: Callable[[JobRecord], Allowance]
    names: Callable[[JobRecord], Names]


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
        last_id = EVENTS_PER_EPOCH * (record.epoch - 1)
        self.log = place.board.open(JobAddress.of(record), last_id)
        self._body = body
        self._place = place
        self.abandoned = False
        self._over = False  # nothing that the work still does counts any more
        self._warnings: list[str] = []
        self._reached = Reached()
        self._displays = Displays()
        previews = (body.get("extra_data") or {}).get("preview_method")
        self._previews = previews != "none"
        self._files: JobOutputs | None = None
        self._meta: dict[str, Any] = {}
        self._prompt: Mapping[str, Any] = {}
        self._allowance = place.allowance(record)
        asked = isinstance(previews, str) and previews not in {"none", "default"}
        self.log.add(Begun(previews_asked=asked))
        loop = asyncio.get_running_loop()
        empty = contextvars.Context()
        self._stopped_by: asyncio.Future[ServiceError] = loop.create_future()
        self._work = loop.create_task(self._do(prepared), context=empty)
        self.ended = loop.create_task(self._whole(), context=empty)

    @property
    def ending(self) -> bool:
        """Whether there is nothing left to stop: it has ended, or is just being written so."""
        return self._over or self._work.done()

    def cancel(self) -> None:
        """Ask it to end now. Harmless afterwards."""
        self._stop(JobCancelledError())

    def abandon(self) -> None:
        """Stop, and say nothing: the job is another's now, or will be."""
        self.abandoned = True
        self._stop(JobCancelledError())

    def _stop(self, why: ServiceError) -> None:
        if not (self.ending or self._stopped_by.done()):
            self._stopped_by.set_result(why)
            self._work.cancel()

    async def _whole(self) -> None:
        """Wait for the work, however it ends, and record it."""
        try:
            await self._until_over()
            self._over = True
            if not self.abandoned:
                await self._end()
        finally:
            self._over = True
            self.log.close()

    async def _until_over(self) -> None:
        """Until the work has ended, or has not though it was told to stop."""
        spending = asyncio.create_task(self._allowance.keep_up())
        ends: list[asyncio.Future[Any]] = [self._work, self._stopped_by, spending]
        try:
            over, _ = await asyncio.wait(
                ends,
                timeout=self._place.deadline_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            spending.cancel()
        if not over:
            self._stop(DeadlineError(self._place.deadline_s))
        elif spending in over:
            self._stop(spending.result())
        await asyncio.wait([self._work], timeout=self._place.stop_s)
        if not self._work.done():
            LOG.error("job %d does not stop, and is ended without", self.record.id)

    async def _end(self) -> None:
        ended = replace(self.record, ended_s=time.time(), last_event=self.log.last_id + 1)
        try:
            ended = self._unless_lent(replace(ended, **self._outcome()))
        except Exception as error:  # noqa: BLE001 - whatever it is, the job ends
            answer = bare_answer(self._saved()) | self._sent()
            ended = failed_end(replace(ended, answer=answer), error)
        keep_request = self._body.get("retain_inputs") is True
        written = await write_end(
            self._place.jobs, ended, self._place.stop_s, keep_request=keep_request
        )
        if written:
            self.record = written
            self.log.add(ended_event(written))
            if self._is_free(written):  # it may have failed in being written
                self._place.runner.forget({written.id})

    def _is_free(self, ended: JobRecord) -> bool:
        nothing = not (self._saved() or self._sent())
        return ended.status == "failed" and nothing and self._allowance.priced

    def _unless_lent(self, ended: JobRecord) -> JobRecord:
        """The end, which pays where it would be free and somebody went on from its results.

        Nobody does from now on.
        """
        if not self._is_free(ended):
            return ended
        self._place.runner.forget({ended.id})
        if not self._place.runner.lent(ended.id):
            return ended
        return replace(ended, answer={**(ended.answer or {}), LENT: True})

    async def _do(self, prepared: Prepared | None) -> tuple[NodeTiming, ...]:
        place, record = self._place, self.record
        if record.epoch > 1:  # what an earlier run of it left is not listed twice
            await patiently(lambda: place.outputs.remove(record.owner, record.id))
        if prepared is None:
            prepared = await patiently(lambda: place.runner.prepare(record.owner, self._body))
        self._meta = dict(prepared.meta)
        self._prompt = prepared.prompt
        folder = place.outputs.job_folder(record.owner, record.id)
        prompt, more = _documents(self._body, prepared)
        encoding = _encoding(self._body, prompt, more)
        names = place.names(record)
        send = self._on_sent if record.client_id is not None else None
        self._files = JobOutputs(folder, encoding, self._on_stored, self._admit, names, send=send)
        job = RunningJob(
            record.owner,
            record.id,
            self._files,
            self._on_event,
            self._warnings.append,
            {Hidden.PROMPT: prompt, Hidden.EXTRA_PNGINFO: more},
            as_comfyui=record.face == "comfyui",
        )
        timings = await place.runner.run(prepared, job)
        place.learn(prepared.prompt, timings)
        return timings

    def _outcome(self) -> dict[str, Any]:
        """How the work ended, as columns of the record."""
        meta = self._meta
        if self._warnings:
            meta["warnings"] = [*meta.get("warnings", ()), *self._warnings]
        outputs = self._files.outputs if self._files else ()
        inline = ExecuteRequest.read(self._body).base64
        answer = ended_answer(self.record, outputs, meta, inline=inline)
        answer |= {"node_count": len(self._prompt), "models": model_names(self._prompt)}
        answer |= self._sent() | {"cached": self._reached.cached}
        answer |= {"displayed": shown} if (shown := self._displays.as_json()) else {}
        error = self._error()
        status: JobStatus = "success" if error is None else "failed"
        if isinstance(error, JobCancelledError):
            status = "cancelled"
        if error is None:
            answer["nodes"] = timings_json(self._work.result())
        else:
            answer["reached"] = self._reached.as_json()
        error_body = None if error is None else message_body(error)
        return {"status": status, "answer": answer, "error": error_body}

    def _error(self) -> ServiceError | None:
        """Why there is no result. A runner may turn its cancellation into an error of its own."""
        if self._work.done() and not self._work.cancelled():
            error = self._work.exception()
        else:
            error = asyncio.CancelledError()
        if error is None:
            return None
        return self._stopped_by.result() if self._stopped_by.done() else known(error)

    def _saved(self) -> list[dict[str, Any]]:
        """The outputs that were handed out, as they came."""
        return [output.as_json() for output in self._files.saved] if self._files else []

    def _sent(self) -> dict[str, int]:
        """How many pictures went to the client, which are paid as outputs are."""
        return {SENT: self._files.sent} if self._files and self._files.sent else {}

    async def _admit(self, outputs: int) -> None:
        """Let the work save its next output, where it may and the budget has the price of it."""
        if self._over:
            raise JobOverError
        await self._allowance.cover(outputs)

    def _on_event(self, event: JobEvent) -> None:
        self._reached.hear(event)
        self._displays.hear(event)
        if isinstance(event, Progressed) and not self._previews:
            event = replace(event, preview=None)
        if not self.ending:  # nothing may follow the final event
            self.log.add(event)

    def _on_sent(self, node_id: str, png: bytes) -> None:
        if not self._over:
            self.log.add(Shown(node_id, png))

    def _on_stored(self, output: StoredOutput) -> None:
        if not self._over:
            self._displays.hear(Saved(output))
            self.log.add(Saved(output))


def _documents(
    body: Mapping[str, Any], prepared: Prepared
) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """ComfyUI's PROMPT and EXTRA_PNGINFO: of a job of its API as they came."""
    if "extra_data" in body:
        more = body["extra_data"].get("extra_pnginfo")
        return body["workflow"], more if isinstance(more, Mapping) else None
    workflow = prepared.workflow
    return prepared.prompt, None if workflow is None else {"workflow": workflow}


def _encoding(
    body: Mapping[str, Any], prompt: Mapping[str, Any], more: Mapping[str, Any] | None
) -> Encoding:
    """How pictures are written, and the documents that go into them."""
    request = ExecuteRequest.read(body)
    documents = {"prompt": prompt, **(more or {})} if request.metadata else {}
    text = {name: json.dumps(it) for name, it in documents.items() if it is not None}
    return Encoding(request.format, request.quality, text=text)
