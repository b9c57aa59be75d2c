"""Streams a job's events in API v2's format: no ids, no replay."""

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from api.comfyui.entries import KeptPrompt
from api.comfyui.v2.output_assets import output_json
from api.comfyui.v2.progress import Progress, ended_progress
from api.context import Context
from api.jobs.events import (
    Begun,
    Ended,
    Happened,
    Progressed,
    Queued,
    Saved,
)
from storage.jobs.records import JobRecord, JobStatus

STATUSES: dict[JobStatus, str] = {
    "queued": "queued",
    "running": "running",
    "success": "succeeded",
    "failed": "failed",
    "cancelled": "canceled",
}
HEARTBEAT = ": still here\n\n"


@dataclass
class JobStream:
    """One job's events, from now on."""

    known: Context
    kept: KeptPrompt
    base_url: str
    progress: Progress = field(default_factory=Progress)

    async def frames(self) -> AsyncIterator[str]:
        """Server-sent events, until the job has ended."""
        owner, job_id = self.kept.record.owner, self.kept.record.id
        following = self.known.service.following
        record, past = await following.so_far(owner, job_id)
        self.progress = Progress.of(self.kept, past)
        if not record.ended:
            yield _frame("status", await self._status(record))
            yield _frame("progress", self.progress.as_json())
        after = max((one.id for one in past if not isinstance(one.event, Ended)), default=0)
        async with aclosing(following.happened(owner, job_id, after=after)) as happened:
            async for current, event in happened:
                if event is None:
                    yield HEARTBEAT
                    continue
                for frame in self._frames(current, event):
                    yield frame

    def _frames(self, record: JobRecord, happened: Happened) -> list[str]:
        event = happened.event
        self.progress.hear(happened)
        match event:
            case Queued(position):
                return [_frame("status", {"status": "queued", "queue_position": position})]
            case Begun():
                return [_frame("status", {"status": "running", "queue_position": None})]
            case Saved(output):
                url = self.known.service.stores.outputs.url(
                    record.owner, record.id, output, self.base_url
                )
                return [_frame("output", output_json(record, output, url, time.time()))]
            case Ended(status):
                last = {"status": STATUSES[status], "queue_position": None}
                progress = ended_progress(record) if record.ended else self.progress.as_json()
                return [_frame("progress", progress), _frame("status", last)]
        frames = [_frame("progress", self.progress.as_json())]
        if isinstance(event, Progressed) and event.preview is not None:
            frames.append(_frame("preview", _preview(event)))
        return frames

    async def _status(self, record: JobRecord) -> dict[str, Any]:
        position = None
        if record.status == "queued":
            position = await self.known.service.following.queue_position(record)
        return {"status": STATUSES[record.status], "queue_position": position}


def _preview(event: Progressed) -> dict[str, str]:
    picture = base64.b64encode(event.preview or b"").decode()
    return {"node_id": event.node_id, "content_type": "image/jpeg", "data_base64": picture}


def _frame(type_: str, data: Any) -> str:
    return f"event: {type_}\ndata: {json.dumps(data)}\n\n"
