"""Job records as answers: success, processing, failed."""

import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from graph.execution import NodeTiming
from storage.jobs.records import JobRecord
from storage.outputs import MissingOutputError, OutputStore, StoredOutput

API = "/api/v7/comfyui"
PROCESSING = "The job is being processed; fetch it again after the estimated seconds."


@dataclass(frozen=True)
class Outlook:
    """How an unfinished job stands."""

    queue_position: int = 0
    eta_s: float = 0.0


def ended_answer(
    record: JobRecord, outputs: tuple[StoredOutput, ...], meta: Mapping[str, Any], *, inline: bool
) -> dict[str, Any]:
    """What is kept of an ended job to answer from; `inline` is base64 instead of URLs."""
    return {
        "outputs": [output.as_json() for output in outputs],
        "meta": dict(meta),
        "base64": inline,
        "queued_s": round((record.started_s or record.created_s) - record.created_s, 3),
        "skipped": _skipped(record),
    }


def _skipped(record: JobRecord) -> list[Mapping[str, Any]]:
    """The outputs of the workflow that were left out."""
    skipped: list[Mapping[str, Any]] = (record.answer or {}).get("skipped", [])
    return skipped


def bare_answer(outputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is kept of a job of which nothing but its outputs can be told."""
    return {"outputs": list(outputs), "meta": {}, "base64": False, "queued_s": 0.0}


def timings_json(timings: tuple[NodeTiming, ...]) -> list[dict[str, Any]]:
    return [
        asdict(timing) | {"start_s": round(timing.start_s, 3), "end_s": round(timing.end_s, 3)}
        for timing in timings
    ]


class Answers:
    """Writes answers. `base_url` is "http://host:port" for absolute URLs, "" for relative ones."""

    def __init__(self, outputs: OutputStore) -> None:
        self._outputs = outputs

    async def answer(
        self, record: JobRecord, base_url: str, outlook: Outlook, *, inline: bool | None = None
    ) -> dict[str, Any]:
        """The answer of `fetch`; `inline` overrides what the job was posted with."""
        if not record.ended:
            return _processing(record, base_url, outlook)
        kept = record.answer or {}
        inline = kept.get("base64", False) if inline is None else inline
        stored = [StoredOutput.from_json(values) for values in kept.get("outputs", ())]
        written = [self.output(record, output, base_url) for output in stored]
        if inline:
            texts = [await asyncio.to_thread(self._text, record, output) for output in stored]
            written = [
                entry | {"url": None, "base64": text}
                for entry, text in zip(written, texts, strict=True)
            ]
        links = [entry["base64"] if inline else entry["url"] for entry in written]
        common = {"id": record.id, "track_id": record.track_id, "output": links, "outputs": written}
        return (_success if record.status == "success" else _failed)(record, common)

    def summary(self, record: JobRecord, base_url: str) -> dict[str, Any]:
        """One entry of the list of jobs: what `fetch` says of it at length."""
        prompt = {"prompt_id": record.prompt_id} if record.prompt_id else {}
        stored = map(StoredOutput.from_json, (record.answer or {}).get("outputs", ()))
        error = record.error or {}
        return {
            "id": record.id,
            **prompt,
            "status": record.status,
            "priority": record.priority,
            "track_id": record.track_id,
            "created_at": iso(record.created_s),
            "started_at": iso(record.started_s),
            "ended_at": iso(record.ended_s),
            "message": error.get("message"),
            "outputs": [self.output(record, output, base_url) for output in stored],
            **_links(record, base_url),
        }

    def output(self, record: JobRecord, output: StoredOutput, base_url: str) -> dict[str, Any]:
        """One entry of `outputs`."""
        entry = {
            "node_id": output.node_id,
            "type": output.type,
            "url": self._outputs.url(record.owner, record.id, output, base_url),
            "filename": output.filename,
            "subfolder": output.subfolder,
            "width": output.width,
            "height": output.height,
            "mime_type": output.mime_type,
            "size": output.size,
            "sha256": output.sha256,
            "expires_at": output.expires_at,
            "temporary": output.temporary,
            **output.facts,
        }
        if output.poster:
            poster = output.poster_location
            job_id = output.job_id or record.id
            entry["poster"] = self._outputs.url_at(record.owner, job_id, poster, base_url)
        unset = {name for name in ("subfolder", "temporary") if not entry[name]}
        return {name: value for name, value in entry.items() if name not in unset}

    def _text(self, record: JobRecord, output: StoredOutput) -> str | None:
        try:
            job_id = output.job_id or record.id
            content = self._outputs.read(record.owner, job_id, output.location)
        except MissingOutputError:  # retention has taken it; the rest of the answer stands
            return None
        return base64.b64encode(content).decode()


def _success(record: JobRecord, common: Mapping[str, Any]) -> dict[str, Any]:
    kept = record.answer or {}
    started_s, ended_s = record.started_s or record.created_s, record.ended_s or record.created_s
    return {
        "status": "success",
        "generationTime": round(ended_s - started_s, 3),
        **common,
        "skipped": _skipped(record),
        "meta": kept.get("meta", {}),
        "timings": {"queued_s": kept.get("queued_s", 0.0), "nodes": kept.get("nodes", [])},
    }


def _failed(record: JobRecord, common: Mapping[str, Any]) -> dict[str, Any]:
    error = record.error or {"message": "The job failed.", "errors": []}
    return {
        "status": "failed",
        **common,
        "skipped": _skipped(record),
        **error,
        "messege": error["message"],
    }


def _processing(record: JobRecord, base_url: str, outlook: Outlook) -> dict[str, Any]:
    return {
        "status": "processing",
        "id": record.id,
        "eta": round(outlook.eta_s, 2),
        "queue_position": outlook.queue_position,
        **_links(record, base_url),
        "output": [],
        "future_links": [],
        "track_id": record.track_id,
        "skipped": _skipped(record),
        "message": PROCESSING,
        "messege": PROCESSING,
    }


def _links(record: JobRecord, base_url: str) -> dict[str, str]:
    return {
        "fetch_result": f"{base_url}{API}/fetch/{record.id}",
        "events": f"{base_url}{API}/events/{record.id}",
    }


def iso(time_s: float | None) -> str | None:
    """A time as answers have it."""
    if time_s is None:
        return None
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds")
