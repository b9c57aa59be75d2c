"""/queue and /interrupt: an owner's running and queued jobs."""

import asyncio
import re
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.bodies import read_bytes
from api.comfyui.entries import all_opened, prompt_id_of
from api.context import ActingEditorOwner, Context, EditorOwner, InContext
from api.documentation import errors
from api.json_reading import BodyLimits, read_json_text
from api.json_response import JsonResponse
from storage.jobs.records import JobRecord, MissingJobError

MOST_BYTES = 2**20
ID = re.compile(r"[0-9A-Za-z-]{1,80}")

router = APIRouter(tags=["comfyui"])


@router.get("/queue", summary="What runs and what waits", responses=errors(401, 403))
async def queue(owner: EditorOwner, known: InContext) -> JsonResponse:
    """Items are [number, prompt_id, prompt, extra_data, output ids]."""
    service = known.service
    jobs = await service.stores.prompts.unfinished(owner)
    kept = (await all_opened(service.requests, jobs[::-1]))[::-1]  # those that come first are told
    return JsonResponse(
        {
            "queue_running": [one.item for one in kept if one.record.status == "running"],
            "queue_pending": [one.item for one in kept if one.record.status == "queued"],
        }
    )


@router.post(
    "/queue",
    summary="Take prompts out of the queue",
    response_class=Response,
    responses=errors(400, 401, 403, 413),
)
async def change_queue(request: Request, owner: ActingEditorOwner, known: InContext) -> Response:
    """`{"clear": true}` or `{"delete": [ids]}`; what runs goes on. They leave no history."""
    asked = await lenient_body(request)
    named = ids_in(asked, "delete")
    for record in await _unfinished(known, owner):
        if asked.get("clear") or prompt_id_of(record) in named:
            await known.service.drop_waiting(record)
    return Response()


@router.post(
    "/interrupt",
    summary="Stop what runs",
    response_class=Response,
    responses=errors(400, 401, 403, 413),
)
async def interrupt(request: Request, owner: ActingEditorOwner, known: InContext) -> Response:
    """All that runs of the owner, or with `prompt_id` that one. 200 when nothing does, too."""
    wanted = (await lenient_body(request)).get("prompt_id")
    running = [
        record
        for record in await _unfinished(known, owner)
        if record.status == "running" and wanted in {None, "", prompt_id_of(record)}
    ]
    await asyncio.gather(*(_stop(known, record) for record in running))
    return Response()


async def _unfinished(known: Context, owner: str) -> list[JobRecord]:
    return [job.record for job in await known.service.stores.prompts.unfinished(owner)]


async def _stop(known: Context, record: JobRecord) -> None:
    with suppress(MissingJobError):  # deleted meanwhile
        await known.service.stop(record.owner, record.id)


async def lenient_body(request: Request) -> dict[str, Any]:
    """The object in the body; an empty one where the body is none, as ComfyUI's clients send it.

    Raises:
        BodyTooLargeError: 413.
    """
    raw = await read_bytes(request, MOST_BYTES)
    try:
        body = read_json_text(raw, BodyLimits())
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def ids_in(body: dict[str, Any], name: str) -> frozenset[str]:
    """The prompt ids in a list of the body; what can be nobody's id is left out."""
    listed = body.get(name)
    texts = map(str, listed) if isinstance(listed, list) else ()
    return frozenset(text for text in texts if ID.fullmatch(text))
