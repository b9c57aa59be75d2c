"""/api/v2/jobs: Comfy's own newer API, as its SDK speaks it (docs.comfy.org, openapi-v2.yaml).

The same jobs as everywhere: an id is the prompt_id of ComfyUI's older API.
"""

import uuid
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Header

from api.comfyui.entries import execution_error, opened, prompt_id_of, saved
from api.comfyui.prompts import SECRETS
from api.context import ActingCall, ActingOwner, BaseUrl, Context, InContext, Owner
from api.documentation import errors, json_body
from api.errors import error_headers, reasons
from api.jobs.acceptance import Posted
from api.jobs.answers import iso
from api.json_response import JsonResponse
from graph.errors import ServiceError
from graph.problems import WorkflowInvalidError
from graph.shown import fitting, shown_text
from storage.jobs.records import IdempotencyConflictError, JobRecord, JobStatus, MissingJobError
from storage.outputs import StoredOutput

PLACE = "/api/v2/jobs"
MOST_DETAILS = 16_000  # characters of JSON
STATUSES: Mapping[JobStatus, str] = {
    "queued": "queued",
    "running": "running",
    "success": "succeeded",
    "failed": "failed",
    "cancelled": "canceled",
}
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
    call: ActingCall,
    known: InContext,
    base_url: BaseUrl,
    idempotency_key: Annotated[str, Header(description="Single use: again is a 422.")] = "",
) -> JsonResponse:
    """Runs a workflow in API format; the editor's own format is refused."""
    if wrong := _refused(call.body, idempotency_key):
        return wrong
    extra = call.body.get("extra_data")
    kept = {k: v for k, v in extra.items() if k not in SECRETS} if isinstance(extra, dict) else {}
    body = {
        "workflow": call.body["workflow"],
        "extra_data": kept,
        "retain_inputs": known.service.limits.keep_prompts,
    }
    posted = Posted(
        base_url,
        face="comfyui",
        prompt_id=str(uuid.uuid4()),
        idempotency_key=f"v2 {idempotency_key}" if idempotency_key else None,
    )
    try:
        record, _ = await known.service.post(call.caller, body, posted)
    except WorkflowInvalidError as error:
        details, _ = fitting(reasons(error), MOST_DETAILS)
        said = shown_text(str(error), 500)
        return _error("invalid_workflow", said, 422, {"problems": details})
    except IdempotencyConflictError:
        said = "This Idempotency-Key was used already."
        return _error("idempotency_key_reuse", said, 422)
    except ServiceError as error:
        return _of(error)
    return JsonResponse(await _job(known, record, base_url), 201)


@router.get("/{job_id}", summary="A job", responses=errors(401, 403, 404))
async def job(job_id: str, owner: Owner, known: InContext, base_url: BaseUrl) -> JsonResponse:
    """Its state, and its outputs once it has ended."""
    try:
        found = await known.service.stores.prompts.find(owner, job_id)
    except MissingJobError as error:
        return _of(error)
    return JsonResponse(await _job(known, found.record, base_url))


@router.get("/{job_id}/workflow", summary="A job's workflow", responses=errors(401, 403, 404))
async def workflow_of(job_id: str, owner: Owner, known: InContext) -> JsonResponse:
    """As it was sent; 404 where it is not kept."""
    service = known.service
    try:
        kept = await opened(service.requests, await service.stores.prompts.find(owner, job_id))
    except MissingJobError as error:
        return _of(error)
    if not kept.prompt:
        return _error("not_found", "The job's workflow is not kept.", 404)
    return JsonResponse({"workflow": kept.prompt})


@router.post("/{job_id}/cancel", summary="Cancel a job", responses=errors(401, 403, 404))
async def cancel(
    job_id: str, owner: ActingOwner, known: InContext, base_url: BaseUrl
) -> JsonResponse:
    """Idempotent; an ended job stays as it is."""
    prompts = known.service.stores.prompts
    try:
        record = (await prompts.find(owner, job_id)).record
        await known.service.stop(owner, record.id)
        record = (await prompts.find(owner, job_id)).record
    except MissingJobError as error:
        return _of(error)
    return JsonResponse(await _job(known, record, base_url))


async def _job(known: Context, record: JobRecord, base_url: str) -> dict[str, Any]:
    url = f"{base_url}{PLACE}/{prompt_id_of(record)}"
    ended = record.ended
    retention_s = known.service.limits.retention_s
    store = known.service.stores.outputs
    return {
        "id": prompt_id_of(record),
        "status": STATUSES[record.status],
        "created_at": iso(record.created_s),
        "started_at": iso(record.started_s),
        "completed_at": iso(record.ended_s),
        "expires_at": iso((record.ended_s or record.created_s) + retention_s),
        "queue_position": None,
        "progress": {"value": 1.0 if record.status == "success" else 0.0} if ended else None,
        "outputs": [
            _output(one, store.url(record.owner, record.id, one, base_url), record)
            for one in saved(record)
        ],
        "error": _failure(record) if record.status == "failed" else None,
        "metrics": _metrics(record) if ended else None,
        "urls": {
            "self": url,
            "events": f"{base_url}/api/v7/comfyui/events/{record.id}",
            "cancel": f"{url}/cancel",
        },
    }


def _output(output: StoredOutput, url: str, record: JobRecord) -> dict[str, Any]:
    name = f"{prompt_id_of(record)}/{output.node_id}/{output.location}"
    return {
        "node_id": output.node_id,
        "name": output.filename,
        "type": output.type,
        "content_type": output.mime_type,
        "size_bytes": output.size,
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, name)),
        "hash": f"sha256:{output.sha256}",
        "url": url,
        "url_expires_at": None,
    }


def _failure(record: JobRecord) -> dict[str, Any]:
    told = execution_error(record)
    return {
        "code": told["exception_type"],
        "message": told["exception_message"],
        "node_id": told["node_id"] or None,
        "class_type": told["node_type"] or None,
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
        return _error("invalid_request", "Idempotency-Key is too long", 422)
    if reserved := [name for name in RESERVED if name in body]:
        return _error("invalid_request", f"{reserved[0]} is reserved and not taken yet", 422)
    if not isinstance(workflow, dict) or not workflow:
        return _error("invalid_workflow", "workflow must be an object in API format", 422)
    if isinstance(workflow.get("nodes"), list):
        said = "This is a workflow in the editor's format; export it as API format."
        return _error("workflow_format_ui", said, 422)
    return None


CODES: Mapping[int, str] = {402: "insufficient_credits", 404: "not_found", 413: "too_large"}
FULL: Mapping[str, str] = {"queue_limit": "queue_full", "service_full": "queue_full"}


def _of(error: ServiceError) -> JsonResponse:
    code = FULL.get(error.code) or CODES.get(error.status, error.code)
    status = 429 if code == "queue_full" else error.status
    return _error(code, shown_text(str(error), 500), status, headers=error_headers(error))


def _error(
    code: str,
    message: str,
    status: int,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JsonResponse:
    told = {"code": code, "message": message} | ({"details": details} if details else {})
    return JsonResponse({"error": told}, status, dict(headers or {}))
