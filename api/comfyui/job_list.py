"""/api/jobs: queue and history in one list, which newer editors read alone (jobs.py)."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast, get_args

from fastapi import APIRouter

from api.comfyui.entries import STATUSES, job_detail, job_entry, opened
from api.comfyui.prompt_request import UUID
from api.context import ActingEditorCall, ActingEditorOwner, Context, EditorOwner, InContext
from api.documentation import errors, json_body
from api.json_response import JsonResponse
from graph.digits import whole_number
from storage.jobs.prompts import LONGEST_ID, PromptFilter, SortBy
from storage.jobs.records import JobStatus, MissingJobError

MOST = 1000  # jobs of one answer
DEFAULT_LIMIT = 200
MOST_CANCELLED = 500  # by one request
IDS: Mapping[str, Any] = {
    "type": "object",
    "properties": {"job_ids": {"type": "array", "items": {"type": "string"}}},
}
BY_NAME: Mapping[str, JobStatus] = {name: status for status, name in STATUSES.items()}

router = APIRouter(prefix="/api/jobs", tags=["comfyui"])


@router.get("", summary="Jobs, queued and ended", responses=errors(400, 401, 403))
async def jobs(
    *,
    owner: EditorOwner,
    known: InContext,
    status: str = "",
    workflow_id: str | None = None,
    sort_by: str = "created_at",
    sort_order: str = "desc",
    limit: str = "",
    offset: str = "",
) -> JsonResponse:
    """Of all APIs of this service, the newest first."""
    named = [name.strip() for name in status.split(",") if name.strip()]
    if wrong := [name for name in named if name not in BY_NAME]:
        return _wrong(f"Invalid status value(s): {', '.join(wrong)[:200]}; {', '.join(BY_NAME)}")
    if sort_by not in get_args(SortBy):
        return _wrong(f"sort_by must be one of {', '.join(get_args(SortBy))}")
    if sort_order not in {"asc", "desc"}:
        return _wrong("sort_order must be 'asc' or 'desc'")
    count, first = whole_number(limit or str(DEFAULT_LIMIT)), whole_number(offset or "0")
    if count is None or first is None or count == 0 or first > 2**31:
        return _wrong("limit must be a positive integer, offset must not be negative")
    which = PromptFilter(
        [BY_NAME[name] for name in named],
        workflow_id,
        cast(SortBy, sort_by),
        sort_order == "asc",
        min(count, MOST),
        first,
    )
    records, total = await known.service.stores.prompts.page(owner, which)
    pagination = {
        "offset": first,
        "limit": which.limit,
        "total": total,
        "has_more": first + len(records) < total,
    }
    listed = [job_entry(record) for record in records]
    return JsonResponse({"jobs": listed, "pagination": pagination})


@router.post(
    "/cancel",
    summary="Cancel some jobs",
    responses=errors(400, 401, 403, 413),
    openapi_extra=json_body(IDS),
)
async def cancel_some(call: ActingEditorCall, known: InContext) -> JsonResponse:
    """Ids of no job are fine; what cannot be an id is a 400."""
    ids = call.body.get("job_ids")
    if not isinstance(ids, list) or not ids or len(ids) > MOST_CANCELLED:
        return _wrong(f"job_ids must be a list of 1 to {MOST_CANCELLED} ids")
    if invalid := [str(one)[:80] for one in ids if not _is_id(one)]:
        return JsonResponse({"error": "Invalid job ids", "invalid_ids": invalid}, 400)
    cancelled = [await _cancel(known, call.owner, one) for one in ids]
    return JsonResponse({"cancelled": any(cancelled)})


@router.get("/{prompt_id}", summary="One job", responses=errors(401, 403, 404))
async def job(prompt_id: str, owner: EditorOwner, known: InContext) -> JsonResponse:
    """With its outputs, its prompt and how it ended."""
    service = known.service
    try:
        found = await service.stores.prompts.find(owner, prompt_id)
    except MissingJobError:
        return _missing()
    if found.record.hidden:
        return _missing()
    return JsonResponse(job_detail(await opened(service.requests, found)))


@router.post("/{prompt_id}/cancel", summary="Cancel a job", responses=errors(401, 403, 404))
async def cancel(prompt_id: str, owner: ActingEditorOwner, known: InContext) -> JsonResponse:
    """Whatever its state; `cancelled` says whether this did something."""
    try:
        await known.service.stores.prompts.find(owner, prompt_id)
    except MissingJobError:
        return _missing()
    return JsonResponse({"cancelled": await _cancel(known, owner, prompt_id)})


async def _cancel(known: Context, owner: str, prompt_id: str) -> bool:
    with suppress(MissingJobError):
        record = (await known.service.stores.prompts.find(owner, prompt_id)).record
        if not record.ended:
            await known.service.stop(owner, record.id)
            return True
    return False


def _is_id(value: object) -> bool:
    if not isinstance(value, str):
        return False
    return bool(UUID.fullmatch(value)) or whole_number(value, LONGEST_ID) is not None


def _wrong(said: str) -> JsonResponse:
    return JsonResponse({"error": said}, 400)


def _missing() -> JsonResponse:
    return JsonResponse({"error": "Job not found"}, 404)
