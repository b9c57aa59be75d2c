"""/history: an owner's jobs that have ended."""

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api.comfyui.entries import all_opened, history_entry, opened
from api.comfyui.queue import ids_in, lenient_body
from api.context import ActingEditorOwner, EditorOwner, InContext
from api.documentation import errors
from api.json_response import JsonResponse, in_pieces
from storage.jobs.records import MissingJobError

MOST = 1000  # entries of one answer
MOST_AT_ONCE = 500  # ids that a database takes in one statement

router = APIRouter(tags=["comfyui"])


@router.get("/history", summary="What has ended", responses=errors(401, 403, 422))
async def history(
    owner: EditorOwner,
    known: InContext,
    max_items: int | None = Query(None, description="So many; the newest, without an offset."),
    offset: int | None = Query(None, description="From this one on; -1 is none."),
) -> Response:
    """Oldest first, at most 1000 at once. The last ones have their prompts, 4 MiB in all."""
    service = known.service
    limit = MOST if max_items is None or max_items < 0 else min(max_items, MOST)
    first = None if offset is None or offset < 0 else min(offset, 2**31)
    jobs = await service.stores.prompts.history(owner, offset=first, limit=limit)
    kept = await all_opened(service.requests, jobs)
    return await in_pieces((one.id, history_entry(one)) for one in kept)


@router.get("/history/{prompt_id}", summary="One that has ended", responses=errors(401, 403))
async def entry(prompt_id: str, owner: EditorOwner, known: InContext) -> JsonResponse:
    """`{}` of one that has not ended, or that is not there."""
    service = known.service
    try:
        job = await service.stores.prompts.find(owner, prompt_id)
    except MissingJobError:
        return JsonResponse({})
    if not job.record.ended or job.record.hidden:
        return JsonResponse({})
    kept = await opened(service.requests, job)
    return JsonResponse({kept.id: history_entry(kept)})


@router.post(
    "/history",
    summary="Forget what has ended",
    response_class=Response,
    responses=errors(400, 401, 403, 413),
)
async def forget(request: Request, owner: ActingEditorOwner, known: InContext) -> Response:
    """`{"clear": true}` or `{"delete": [ids]}`. Prompts go; files stay until their time is over."""
    asked = await lenient_body(request)
    prompts = known.service.stores.prompts
    if asked.get("clear"):
        await prompts.hide(owner, None)
    named = sorted(ids_in(asked, "delete"))
    for k in range(0, len(named), MOST_AT_ONCE):
        await prompts.hide(owner, named[k : k + MOST_AT_ONCE])
    return Response()
