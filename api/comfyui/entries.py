"""Jobs in the shapes of ComfyUI's queue, history and list of jobs (execution.py, jobs.py)."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.comfyui.ui_outputs import MEDIA, ui_output
from api.jobs.requests import JobRequests
from storage.jobs.prompts import PromptJob
from storage.jobs.records import JobRecord, JobStatus
from storage.outputs import StoredOutput

LOG = logging.getLogger(__name__)
MOST_PROMPT_BYTES = 4 * 2**20  # of stored prompts, that are read for one answer
STATUSES: Mapping[JobStatus, str] = {
    "queued": "pending",
    "running": "in_progress",
    "success": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}


@dataclass(frozen=True)
class KeptPrompt:
    """A job with its prompt and what came with it; without, where they are not kept."""

    record: JobRecord
    prompt: Mapping[str, Any] = field(default_factory=dict)
    extra_data: Mapping[str, Any] = field(default_factory=dict)
    outputs: Sequence[str] = ()

    @property
    def id(self) -> str:
        return prompt_id_of(self.record)

    @property
    def item(self) -> list[Any]:
        """As /queue and /history have it."""
        return [number_of(self.record), self.id, self.prompt, self.extra_data, list(self.outputs)]


def prompt_id_of(record: JobRecord) -> str:
    """By what ComfyUI's API knows a job."""
    return record.prompt_id or str(record.id)


def number_of(record: JobRecord) -> float:
    """Its place in the queue, as a whole number where it is one."""
    return int(record.number) if record.number.is_integer() else record.number


async def all_opened(requests: JobRequests, jobs: Sequence[PromptJob]) -> list[KeptPrompt]:
    """Jobs with their prompts, of which the last ones are told, as far as one answer may go."""
    kept: list[KeptPrompt] = []
    left_bytes = MOST_PROMPT_BYTES
    for job in reversed(jobs):
        left_bytes -= len(job.request or b"")
        kept.append(await opened(requests, job, tell=left_bytes >= 0))
        await asyncio.sleep(0)  # others go on between two
    return kept[::-1]


async def opened(requests: JobRequests, job: PromptJob, *, tell: bool = True) -> KeptPrompt:
    """The job with its prompt.

    One is told without that is very large, or was sealed with another key, or without `tell`.
    """
    record = job.record
    outputs = list(dict.fromkeys(one.node_id for one in saved(record)))
    if job.request is None or len(job.request) > MOST_PROMPT_BYTES or not tell:
        return KeptPrompt(record, outputs=outputs)
    try:
        body = await requests.opened(record.id, job.request)
    except Exception:
        LOG.exception("the request of job %d cannot be read", record.id)
        return KeptPrompt(record, outputs=outputs)
    workflow, extra = body.get("workflow"), body.get("extra_data", {})
    prompt = workflow if isinstance(workflow, dict) else {}
    return KeptPrompt(record, prompt, extra, body.get("outputs", outputs))


def saved(record: JobRecord) -> list[StoredOutput]:
    """What the job saved, by node."""
    return [StoredOutput.from_json(one) for one in (record.answer or {}).get("outputs", ())]


def history_entry(kept: KeptPrompt) -> dict[str, Any]:
    """One entry of /history."""
    return {
        "prompt": kept.item,
        "outputs": node_outputs(kept),
        "status": status_of(kept.record),
        "meta": {node_id: _meta(node_id) for node_id in node_outputs(kept)},
    }


def node_outputs(kept: KeptPrompt) -> dict[str, Any]:
    """What each output node shows."""
    found: dict[str, list[StoredOutput]] = {}
    for output in saved(kept.record):
        found.setdefault(output.node_id, []).append(output)
    displayed = (kept.record.answer or {}).get("displayed", {})
    return {
        node_id: ui_output(
            found.get(node_id, ()),
            class_type_of(kept.prompt, node_id),
            displayed.get(node_id, {}),
        )
        for node_id in dict.fromkeys((*found, *displayed))
    }


def class_type_of(prompt: Mapping[str, Any], node_id: str) -> str:
    node = prompt.get(node_id)
    return str(node.get("class_type", "")) if isinstance(node, Mapping) else ""


def status_of(record: JobRecord) -> dict[str, Any]:
    """How it ended, with its messages."""
    prompt_id, answer = prompt_id_of(record), record.answer or {}
    began = {"prompt_id": prompt_id, "timestamp": _ms(record.started_s or record.created_s)}
    cached = answer.get("cached", [])
    ended = {"prompt_id": prompt_id, "timestamp": _ms(record.ended_s or record.created_s)}
    last: list[Any] = ["execution_success", ended]
    if record.status == "cancelled":
        last = ["execution_interrupted", {**_reached(record), **ended}]
    elif record.status == "failed":
        last = ["execution_error", {**execution_error(record), **ended}]
    succeeded = record.status == "success"
    return {
        "status_str": "success" if succeeded else "error",
        "completed": succeeded,
        "messages": [
            ["execution_start", began],
            ["execution_cached", {"nodes": cached, **began}],
            last,
        ],
    }


def execution_error(record: JobRecord) -> dict[str, Any]:
    """What ComfyUI tells of a failure; nothing of the service's inside."""
    error = record.error or {}
    problem: Mapping[str, Any] = next(iter(error.get("errors", ())), {})
    reached = _reached(record)
    node_id = str(problem.get("node_id") or reached["node_id"])
    return {
        **reached,
        "node_id": node_id,
        "exception_message": str(error.get("message", "The job failed.")),
        "exception_type": str(problem.get("code", "error")),
        "traceback": [],
        "current_inputs": {},
        "current_outputs": reached["executed"],
    }


def job_entry(record: JobRecord) -> dict[str, Any]:
    """One entry of /api/jobs."""
    outputs = saved(record)
    entry: dict[str, Any] = {
        "id": prompt_id_of(record),
        "status": STATUSES[record.status],
        "priority": int(record.number),
        "create_time": _ms(record.created_s),
        "outputs_count": len(outputs),
    }
    if record.started_s is not None:
        entry["execution_start_time"] = _ms(record.started_s)
    if record.ended_s is not None:
        entry["execution_end_time"] = _ms(record.ended_s)
    if record.status == "failed":
        entry["execution_error"] = {
            "prompt_id": prompt_id_of(record),
            **execution_error(record),
            "timestamp": _ms(record.ended_s or record.created_s),
        }
    if outputs:
        entry["previewable_outputs_count"] = sum(one.type in MEDIA for one in outputs)
        entry["preview_output"] = _preview(outputs)
    if record.workflow_id is not None:
        entry["workflow_id"] = record.workflow_id
    return entry


def job_detail(kept: KeptPrompt) -> dict[str, Any]:
    """What /api/jobs/{id} answers."""
    detail = job_entry(kept.record) | {"outputs": node_outputs(kept)}
    detail["workflow"] = {"prompt": kept.prompt, "extra_data": kept.extra_data}
    if kept.record.ended:
        detail["execution_status"] = status_of(kept.record)
    return detail


def _preview(outputs: Sequence[StoredOutput]) -> dict[str, Any] | None:
    """The output that stands for the job: the last that is saved for good, else the last."""
    best = next((one for one in reversed(outputs) if not one.temporary), outputs[-1])
    return {
        "filename": best.filename,
        "subfolder": best.subfolder,
        "type": "temp" if best.temporary else "output",
        "nodeId": best.node_id,
        "mediaType": MEDIA.get(best.type, "images"),
    }


def _reached(record: JobRecord) -> dict[str, Any]:
    """Where a job was when it ended without success."""
    reached = (record.answer or {}).get("reached", {})
    return {
        "node_id": str(reached.get("node_id", "")),
        "node_type": str(reached.get("class_type", "")),
        "executed": list(reached.get("executed", ())),
    }


def _meta(node_id: str) -> dict[str, Any]:
    whose = {"display_node": node_id, "parent_node": None, "real_node_id": node_id}
    return {"node_id": node_id, **whose}


def _ms(time_s: float) -> int:
    return int(time_s * 1000)
