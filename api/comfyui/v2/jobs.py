"""/api/v2/jobs: run a workflow, follow it, read what it saved.

The same jobs as everywhere: an id is the prompt_id of ComfyUI's older API.
"""

import time
import uuid
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response, StreamingResponse

from api.comfyui.entries import execution_error, opened, prompt_id_of, saved
from api.comfyui.prompt_request import SECRETS
from api.comfyui.v2.events import STATUSES, JobStream
from api.comfyui.v2.output_assets import output_json
from api.comfyui.v2.problems import problem, problem_response
from api.comfyui.v2.progress import Progress, ended_progress
from api.comfyui.v2.references import with_files
from api.context import ActingOwner, BaseUrl, Context, InContext, JobCall, Owner
from api.documentation import errors, json_body
from api.errors import reasons
from api.jobs.acceptance import Posted
from api.jobs.answers import iso
from api.jobs.listing import read_cursor, write_cursor
from api.jobs.routes import EVENT_STREAM, EVENTS_HEADERS
from api.json_response import JsonResponse
from graph.errors import ServiceError
from graph.problems import WorkflowInvalidError
from graph.shown import fitting, shown_text
from storage.assets import MissingAssetError
from storage.jobs.prompts import PromptJob
from storage.jobs.records import (
    IdempotencyConflictError,
    JobFilter,
    JobRecord,
    MissingJobError,
)

PLACE = "/api/v2/jobs"
MOST_DETAILS = 16_000  # characters of JSON
RESERVED = ("webhook_url", "inputs")
LONGEST_KEY = 250
BODY: Mapping[str, Any] = {
    "type": "object",
    "required": ["workflow"],
    "properties": {
        "workflow": {"type": "object", "description": "API format"},
        "extra_data": {"type": "object"},
    },
}

# Described by Comfy's own document: errors have that one's shape, not this API's.
router = APIRouter(prefix=PLACE, tags=["comfyui"], include_in_schema=False)


@router.post(
    "",
    summary="Create a job",
    status_code=201,
    responses=errors(400, 401, 402, 403, 413, 422, 429, 503),
    openapi_extra=json_body(BODY),
)
async def create(
    call: JobCall,
    known: InContext,
    base_url: BaseUrl,
    idempotency_key: Annotated[str, Header(description="Single use: again is a 422.")] = "",
) -> JsonResponse:
    """Runs a workflow in API format; the editor's own format is refused."""
    if wrong := _refused(call.body, idempotency_key):
        return wrong
    extra = call.body.get("extra_data")
    kept = {k: v for k, v in extra.items() if k not in SECRETS} if isinstance(extra, dict) else {}
    posted = Posted(
        base_url,
        face="comfyui",
        prompt_id=str(uuid.uuid4()),
        idempotency_key=f"v2 {idempotency_key}" if idempotency_key else None,
    )
    try:
        workflow = await with_files(known.service.stores, call.owner, call.body["workflow"])
        retained = known.service.limits.keep_prompts
        body = {"workflow": workflow, "extra_data": kept, "retain_inputs": retained}
        record, _ = await known.service.post(call.caller, body, posted)
    except WorkflowInvalidError as error:
        details, _ = fitting(reasons(error), MOST_DETAILS)
        said = shown_text(str(error), 500)
        return problem("invalid_workflow", said, 422, {"problems": details})
    except MissingAssetError as error:
        return problem("missing_asset", str(error), 422)
    except IdempotencyConflictError:
        said = "This Idempotency-Key was used already."
        return problem("idempotency_key_reuse", said, 422)
    except ServiceError as error:
        return problem_response(error)
    found = await known.service.stores.prompts.find(call.owner, prompt_id_of(record))
    return JsonResponse(await _job(known, found, base_url), 201)


@router.get("", summary="Jobs", responses=errors(401, 403, 422))
async def listed(
    *,
    request: Request,
    owner: Owner,
    known: InContext,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: str = "",
) -> JsonResponse:
    """Newest first. No job has labels, so a filter by labels finds none."""
    if any(name.startswith("metadata") for name in request.query_params):
        return JsonResponse({"jobs": []})
    try:
        before = read_cursor(cursor)
    except ServiceError:
        return problem("invalid_cursor", "It is no next_cursor of an earlier page.", 422)
    which = JobFilter(before=before, limit=limit + 1)
    found = await known.service.stores.jobs.page(owner, which)
    page = [_listed(record) for record in found[:limit]]
    more = {"next_cursor": write_cursor(found[limit - 1])} if len(found) > limit else {}
    return JsonResponse({"jobs": page, **more})


@router.get("/{job_id}", summary="A job", responses=errors(401, 403, 404))
async def job(job_id: str, owner: Owner, known: InContext, base_url: BaseUrl) -> JsonResponse:
    """Its state, and its outputs once it has ended."""
    try:
        found = await known.service.stores.prompts.find(owner, job_id)
    except MissingJobError as error:
        return problem_response(error)
    return JsonResponse(await _job(known, found, base_url))


@router.get("/{job_id}/workflow", summary="A job's workflow", responses=errors(401, 403, 404))
async def workflow_of(job_id: str, owner: Owner, known: InContext) -> JsonResponse:
    """As it was sent; 404 where it is not kept."""
    service = known.service
    try:
        kept = await opened(service.requests, await service.stores.prompts.find(owner, job_id))
    except MissingJobError as error:
        return problem_response(error)
    if not kept.prompt:
        return problem("not_found", "The job's workflow is not kept.", 404)
    return JsonResponse({"workflow": kept.prompt, "format": "api"})


@router.get("/{job_id}/events", summary="A job's events", responses=errors(401, 403, 404))
async def events(job_id: str, owner: Owner, known: InContext, base_url: BaseUrl) -> Response:
    """`status`, `progress`, `preview` and `output` as they come; the last is a final `status`."""
    service = known.service
    try:
        kept = await opened(service.requests, await service.stores.prompts.find(owner, job_id))
    except MissingJobError as error:
        return problem_response(error)
    frames = JobStream(known, kept, base_url).frames()
    return StreamingResponse(frames, media_type=EVENT_STREAM, headers=EVENTS_HEADERS)


@router.post("/{job_id}/cancel", summary="Cancel a job", responses=errors(401, 403, 404))
async def cancel(
    job_id: str, owner: ActingOwner, known: InContext, base_url: BaseUrl
) -> JsonResponse:
    """Idempotent; an ended job stays as it is."""
    prompts = known.service.stores.prompts
    try:
        await known.service.stop(owner, (await prompts.find(owner, job_id)).record.id)
        found = await prompts.find(owner, job_id)
    except MissingJobError as error:
        return problem_response(error)
    return JsonResponse(await _job(known, found, base_url))


async def _job(known: Context, found: PromptJob, base_url: str) -> dict[str, Any]:
    record = found.record
    url = f"{base_url}{PLACE}/{prompt_id_of(record)}"
    service = known.service
    store, now_s = service.stores.outputs, time.time()
    position, progress = None, ended_progress(record)
    if not record.ended:
        kept = await opened(service.requests, found)
        _, past = await service.following.so_far(record.owner, record.id)
        progress = Progress.of(kept, past).as_json()
        if record.status == "queued":
            position = await service.following.queue_position(record)
    return {
        "id": prompt_id_of(record),
        "status": _status(record),
        "created_at": iso(record.created_s),
        "started_at": iso(record.started_s),
        "completed_at": iso(record.ended_s),
        "expires_at": iso((record.ended_s or record.created_s) + service.limits.retention_s),
        "queue_position": position,
        "progress": progress,
        "outputs": [
            output_json(record, one, store.url(record.owner, record.id, one, base_url), now_s)
            for one in saved(record)
        ],
        "error": _failure(record) if record.status == "failed" else None,
        "metrics": _metrics(record) if record.ended else None,
        "urls": {"self": url, "events": f"{url}/events", "cancel": f"{url}/cancel"},
    }


def _listed(record: JobRecord) -> dict[str, Any]:
    times = (record.created_s, record.started_s or 0.0, record.ended_s or 0.0)
    return {
        "id": prompt_id_of(record),
        "status": _status(record),
        "create_time": iso(record.created_s),
        "update_time": iso(max(times)),
    }


def _status(record: JobRecord) -> str:
    if record.status == "running" and record.cancel_asked:
        return "canceling"
    return STATUSES[record.status]


def _failure(record: JobRecord) -> dict[str, Any]:
    error = execution_error(record)
    return {
        "code": error["exception_type"],
        "message": error["exception_message"],
        "node_id": error["node_id"] or None,
        "class_type": error["node_type"] or None,
        "traceback": None,
    }


def _metrics(record: JobRecord) -> dict[str, int]:
    ended_s = record.ended_s or record.created_s
    began_s = record.started_s or ended_s
    return {
        "queue_ms": int(1000 * (began_s - record.created_s)),
        "execution_ms": int(1000 * (ended_s - began_s)),
    }


def _refused(body: Mapping[str, Any], idempotency_key: str) -> JsonResponse | None:
    """What is wrong with a request before its workflow is looked at."""
    workflow = body.get("workflow")
    if len(idempotency_key) > LONGEST_KEY:
        return problem("invalid_request", "Idempotency-Key is too long", 422)
    if "metadata" in body:
        return problem("metadata_not_supported", "Jobs have no labels here.", 422)
    if reserved := [name for name in RESERVED if name in body]:
        return problem("invalid_request", f"{reserved[0]} is reserved and not taken yet", 422)
    if not isinstance(workflow, dict) or not workflow:
        return problem("invalid_workflow", "workflow must be an object in API format", 422)
    if isinstance(workflow.get("nodes"), list):
        said = "This is a workflow in the editor's format; export it as API format."
        return problem("workflow_format_ui", said, 422)
    return None
