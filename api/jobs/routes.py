"""Job routes: fetch, events, cancel, list."""

import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response, StreamingResponse

from api.context import (
    ActingOwner,
    BaseUrl,
    InContext,
    JobId,
    LoneActingOwner,
    LoneOwner,
    Owner,
)
from api.documentation import errors
from api.jobs.answers import API
from api.jobs.timeline import timeline_svg
from api.jobs.wire_events import WireEvent
from api.json_response import JsonResponse
from api.schemas import Answer, Deleted, JobPage, JobSummary
from graph.digits import whole_number
from storage.jobs.records import JobFilter, JobStatus

SVG = "image/svg+xml"
# Nothing in it runs or loads anything, even where a browser shows it as a page.
SVG_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}
EVENT_STREAM = "text/event-stream"
EVENTS_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

router = APIRouter(prefix=API, tags=["jobs"])


@router.get(
    "/fetch/{job_id}",
    summary="A job's answer",
    response_model=Answer,
    responses=errors(404),
)
@router.post(
    "/fetch/{job_id}",
    summary="A job's answer, by POST",
    response_model=Answer,
    responses=errors(404, 422),
)
async def fetch(
    owner: LoneOwner, job_id: JobId, known: InContext, base_url: BaseUrl
) -> JsonResponse:
    """The answer of execute, whatever the job's state; POST does the same."""
    return JsonResponse(await known.service.answer(owner, job_id, base_url=base_url))


@router.post(
    "/cancel/{job_id}",
    summary="Stop a job",
    response_model=Answer,
    responses=errors(401, 403, 404, 422),
)
async def cancel(
    owner: LoneActingOwner, job_id: JobId, known: InContext, base_url: BaseUrl
) -> JsonResponse:
    """Stops at the next step and answers like fetch; idempotent. Its body has no field but key."""
    return JsonResponse(await known.service.cancel(owner, job_id, base_url=base_url))


@router.get(
    "/jobs/{job_id}/timeline.svg",
    summary="A picture of when each node ran, stage by stage",
    response_class=Response,
    responses={200: {"content": {SVG: {"schema": {"type": "string"}}}}, **errors(401, 403, 404)},
)
async def timeline(owner: Owner, job_id: JobId, known: InContext) -> Response:
    """Of a job that has ended; of another it has no rows yet."""
    record = await known.service.stores.jobs.get(owner, job_id)
    kept = record.answer or {}
    queued_s = kept.get("queued_s", 0.0)
    picture = timeline_svg(
        f"Job {job_id}: {record.status}", kept.get("nodes", ()), queued_s=queued_s
    )
    return Response(picture, media_type=SVG, headers=SVG_HEADERS)


@router.get("/jobs", summary="Your jobs", response_model=JobPage, responses=errors(401, 403, 422))
async def jobs(
    *,
    owner: Owner,
    known: InContext,
    base_url: BaseUrl,
    status: JobStatus | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str, Query(description="`next_cursor` of the page before.")] = "",
) -> JsonResponse:
    """Newest first."""
    which = JobFilter(status, limit=limit)
    return JsonResponse(await known.service.jobs(owner, which, cursor=cursor, base_url=base_url))


@router.get(
    "/jobs/{job_id}",
    summary="One of your jobs",
    response_model=JobSummary,
    responses=errors(401, 403, 404),
)
async def job(owner: Owner, job_id: JobId, known: InContext, base_url: BaseUrl) -> JsonResponse:
    """As the list has it; `fetch` has its whole answer."""
    return JsonResponse(await known.service.job(owner, job_id, base_url=base_url))


@router.delete(
    "/jobs/{job_id}",
    summary="Delete a job",
    response_model=Deleted,
    responses=errors(401, 403, 404),
)
async def delete(owner: ActingOwner, job_id: JobId, known: InContext) -> JsonResponse:
    """Stops it, and removes its record, its outputs and its webhooks."""
    await known.service.delete(owner, job_id)
    return JsonResponse({"status": "success", "id": job_id, "message": "The job is deleted."})


@router.get(
    "/events/{job_id}",
    summary="A job's events as they happen",
    response_class=StreamingResponse,
    responses={
        200: {"content": {EVENT_STREAM: {}}, "description": "Server-sent events"},
        204: {"description": "Nothing comes after `Last-Event-ID`: the job has ended"},
        **errors(401, 403, 404),
    },
)
async def events(
    *,
    owner: Owner,
    job_id: JobId,
    known: InContext,
    base_url: BaseUrl,
    last_event_id: Annotated[str, Header(description="Go on after this event.")] = "",
    preview: Annotated[bool, Query(description="With previews, as data URIs.")] = False,
) -> Response:
    """`queued`, `node`, `progress`, `output`, then one `success`, `failed` or `cancelled`."""
    after = whole_number(last_event_id) or 0
    final = await known.service.following.last_event_id(owner, job_id)
    if final is not None and after >= final:
        return Response(status_code=204)  # tells an EventSource not to come back
    source = known.service.following.events(owner, job_id, after=after, base_url=base_url)
    return StreamingResponse(
        _stream(source, preview=preview), media_type=EVENT_STREAM, headers=EVENTS_HEADERS
    )


async def _stream(source: AsyncIterator[WireEvent | None], *, preview: bool) -> AsyncIterator[str]:
    async for event in source:
        yield ": still here\n\n" if event is None else _sse(event, preview=preview)


def _sse(event: WireEvent, *, preview: bool) -> str:
    data = {name: value for name, value in event.data.items() if preview or name != "preview"}
    return f"id: {event.id}\nevent: {event.type}\ndata: {json.dumps(data)}\n\n"
