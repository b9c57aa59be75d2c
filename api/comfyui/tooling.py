"""/api/etn: pictures that Krita's plugin uploads and fetches (comfyui-tooling-nodes)."""

import re

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.bodies import read_bytes
from api.context import ActingEditorOwner, EditorOwner, InContext
from api.documentation import content, errors
from api.file_response import file_response
from api.json_response import JsonResponse
from storage.files import MissingFileError
from storage.paths import UnsafePathError
from storage.uploads import MissingInputError, Place

FOLDER = "etn"  # of the owner's uploads, where ETN_LoadImageCache reads
ID = re.compile(r"[\w-]{1,80}")

router = APIRouter(prefix="/api/etn", tags=["comfyui"])


@router.put(
    "/image/{id}",
    summary="Put a picture for ETN_LoadImageCache",
    responses=errors(400, 401, 403, 413, 429),
)
async def put_image(
    id: str, request: Request, owner: ActingEditorOwner, known: InContext
) -> JsonResponse:
    """One that is there already is kept, as its id says what it is. It stays as uploads do."""
    if not ID.fullmatch(id):
        raise UnsafePathError(id[:80], "an id has letters, digits, _ and -, at most 80")
    uploads, place = known.service.stores.uploads, Place(id, FOLDER)
    try:
        await uploads.find(owner, place)
    except MissingInputError:
        body = await read_bytes(request, uploads.limits.most_bytes, owner)
        await uploads.save(owner, place, body)
        return JsonResponse({"status": "success"}, 201)
    return JsonResponse({"status": "cached"})


@router.get(
    "/image/{id}",
    summary="A picture of ETN_SaveImageCache",
    response_class=Response,
    responses={200: content("image/*"), **errors(401, 403, 404)},
)
async def image(id: str, request: Request, owner: EditorOwner, known: InContext) -> Response:
    """By the id that `executed` told; also one that was put."""
    uploads = known.service.stores.uploads
    for place in (Place(id, "", "temp"), Place(id, FOLDER)):
        try:
            file = await uploads.find(owner, place)
        except MissingInputError:
            continue
        return await file_response(uploads.files, file, request.headers)
    raise MissingFileError(id[:200])


@router.get("/languages", summary="Languages that can be translated", responses=errors(401, 403))
async def languages(_owner: EditorOwner) -> JsonResponse:
    """None."""
    return JsonResponse([])
