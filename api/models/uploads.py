"""Resumable uploads of models, in pieces.

POST an announcement, PUT pieces with `Content-Range: bytes first-last/size` in order, ask with GET
or HEAD how many bytes have come, and POST to `complete`.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from api.context import Call, CallWith
from api.documentation import errors, json_body
from api.errors import one_field
from api.json_response import JsonResponse
from api.models.routes import Intake, ModelOwner
from api.models.schemas import NewUpload, OneModel, OneUpload, model_json, upload_json
from storage.models.uploads import ModelUpload, UploadBusyError

RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
OFFSET, LENGTH = "Upload-Offset", "Upload-Length"
BYTES = {"schema": {"type": "integer", "minimum": 0}}
PROGRESS = {OFFSET: BYTES, LENGTH: BYTES}

router = APIRouter(prefix="/api/v7/models/uploads", tags=["models"])
ModelCall = Annotated[Call, Depends(CallWith("models"))]
CONTENT = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


@router.post(
    "",
    summary="Announce a model to upload in pieces",
    status_code=201,
    response_model=OneUpload,
    responses=errors(400, 401, 403, 413, 415, 422, 429, 503),
    openapi_extra=json_body(NewUpload.model_json_schema()),
)
async def begin(call: ModelCall, models: Intake) -> JsonResponse:
    """The upload to PUT pieces to; it is kept for a day."""
    upload = await models.begin(call.owner, NewUpload.read(call.body).announced())
    return JsonResponse(upload_json(upload, 0, models.uploads.terms.kept_s), 201)


@router.put(
    "/{upload_id}",
    summary="Upload a piece",
    response_model=OneUpload,
    responses=errors(401, 403, 404, 409, 413, 422, 429, 503),
    openapi_extra={"requestBody": {"required": True, "content": CONTENT}},
)
async def append(
    *,
    request: Request,
    upload_id: str,
    owner: ModelOwner,
    models: Intake,
    content_range: Annotated[str, Header(description="bytes first-last/size")],
) -> JsonResponse:
    """Pieces come in order; one that does not follow is a 409 that says where to go on."""
    upload = await models.uploads.get(owner, upload_id)
    if upload.state != "receiving":
        raise UploadBusyError(upload.state)
    first = _first_byte(content_range, upload)
    offset = await models.uploads.append(upload, first, _until_it_breaks(request))
    return JsonResponse(upload_json(upload, offset, models.uploads.terms.kept_s))


@router.get(
    "/{upload_id}",
    summary="How far an upload is",
    response_model=OneUpload,
    responses=errors(401, 403, 404, 429),
)
async def show(upload_id: str, owner: ModelOwner, models: Intake) -> JsonResponse:
    """Its offset is where to go on; HEAD says it in headers."""
    upload = await models.uploads.get(owner, upload_id)
    received = await asyncio.to_thread(models.uploads.offset, upload)
    ready = upload.state == "ready" and upload.model_id
    model = await models.store.models.get(owner, upload.model_id or "") if ready else None
    return JsonResponse(upload_json(upload, received, models.uploads.terms.kept_s, model))


@router.head(
    "/{upload_id}",
    summary="How far an upload is, in headers",
    response_class=Response,
    responses={
        200: {"description": f"Where to go on: {OFFSET}", "headers": PROGRESS},
        **errors(404),
    },
)
async def offset(upload_id: str, owner: ModelOwner, models: Intake) -> Response:
    upload = await models.uploads.get(owner, upload_id)
    received = await asyncio.to_thread(models.uploads.offset, upload)
    length = {} if upload.size is None else {LENGTH: str(upload.size)}
    return Response(headers={OFFSET: str(received), "Cache-Control": "no-store", **length})


@router.post(
    "/{upload_id}/complete",
    summary="Make an upload a model",
    status_code=201,
    response_model=OneModel,
    responses=errors(401, 403, 404, 409, 422, 429),
)
async def complete(upload_id: str, owner: ModelOwner, models: Intake) -> JsonResponse:
    """Checks the file's header before it is kept. Idempotent."""
    upload = await models.uploads.get(owner, upload_id)
    return JsonResponse(model_json(await models.complete(upload)), 201)


@router.delete(
    "/{upload_id}",
    summary="Abort an upload",
    status_code=204,
    responses=errors(401, 403, 404, 429),
)
async def abort(upload_id: str, owner: ModelOwner, models: Intake) -> Response:
    """Nothing of it stays. A model that it became does."""
    await models.abort(await models.uploads.get(owner, upload_id))
    return Response(status_code=204)


async def _until_it_breaks(request: Request) -> AsyncIterator[bytes]:
    """The body; of one that breaks off, what has come: the sender goes on from there."""
    with suppress(ClientDisconnect):
        async for chunk in request.stream():
            yield chunk


def _first_byte(content_range: str, upload: ModelUpload) -> int:
    """Where a piece belongs."""
    found = RANGE.fullmatch(content_range.strip())
    size = None if upload.size is None else str(upload.size)
    if found and int(found[1]) <= int(found[2]) and found[3] in {"*", size}:
        return int(found[1])
    raise one_field("Content-Range", f"bytes first-last/{size}", content_range[:80])
