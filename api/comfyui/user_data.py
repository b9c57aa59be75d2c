"""/userdata: files that the editor saves, by owner (ComfyUI app/user_manager.py).

A file's name is one segment of the path, its slashes written %2F, so routes here read the path as
it was sent.
"""

import asyncio
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api.bodies import read_bytes
from api.context import ActingEditorOwner, EditorOwner, InContext
from api.documentation import content, errors
from api.file_response import file_response
from api.json_response import JsonResponse
from graph.errors import ServiceError
from storage.paths import UnsafePathError
from storage.user_data import UserFile, UserFileMissingError

MOST_BYTES = 32 * 2**20  # read before the store says what one file may have
PLACE = "/userdata/"
ANY = {"type": "string", "format": "binary"}
BODY = {"requestBody": {"content": {"application/octet-stream": {"schema": ANY}}}}

router = APIRouter(tags=["comfyui"])


@dataclass(eq=False)
class FolderNeededError(ServiceError):
    """A listing of no folder."""

    status = 400
    code = "folder_needed"
    template = "Name the folder to list in `dir`."


@router.get("/userdata", summary="Saved files", responses=errors(400, 401, 403, 404))
async def listed(
    *,
    owner: EditorOwner,
    known: InContext,
    dir: str = "",
    recurse: str = "",
    full_info: str = "",
    split: str = "",
) -> JsonResponse:
    """Names under `dir`; with `full_info` objects, with `split` lists of a path and its parts."""
    if not dir:
        raise FolderNeededError
    found = await asyncio.to_thread(known.service.stores.user_data.list, owner, dir)
    files = [file for file in found if _on(recurse) or "/" not in file.path]
    if _on(full_info):
        return JsonResponse([_info(file) for file in files])
    if _on(split):
        return JsonResponse([[file.path, *file.path.split("/")] for file in files])
    return JsonResponse([file.path for file in files])


@router.get("/v2/userdata", summary="A saved folder", responses=errors(400, 401, 403, 404))
async def folder(owner: EditorOwner, known: InContext, path: str = "") -> JsonResponse:
    """The files and folders right under `path`."""
    stores = known.service.stores
    try:
        found = await asyncio.to_thread(stores.user_data.list, owner, path)
    except UserFileMissingError:
        if path:
            raise
        found = []
    entries: dict[str, dict[str, Any]] = {}
    for file in found:
        name, _, rest = file.path.partition("/")
        place = str(PurePosixPath(path, name))
        if rest:
            entries.setdefault(name, {"name": name, "path": place, "type": "directory"})
        else:
            times = {"size": file.size, "modified": file.modified_s}
            entries[name] = {"name": name, "path": place, "type": "file", **times}
    return JsonResponse(list(entries.values()))


@router.get(
    "/userdata/{file:path}",
    summary="A saved file",
    response_class=Response,
    responses={200: content("*/*"), **errors(401, 403, 404)},
)
async def load(file: str, request: Request, owner: EditorOwner, known: InContext) -> Response:
    """Its content; Range requests work."""
    del file
    stores = known.service.stores
    (name,) = _names(request, 1)
    found = await asyncio.to_thread(stores.user_data.find, owner, name)
    return await file_response(stores.user_data.files, found, request.headers)


@router.post(
    "/userdata/{file:path}",
    summary="Save, or move, a file",
    responses=errors(400, 401, 403, 404, 409, 413),
    openapi_extra=BODY,
)
async def save(
    *,
    file: str,
    request: Request,
    owner: ActingEditorOwner,
    known: InContext,
    overwrite: Annotated[str, Query(description="false: 409 where it is there")] = "true",
    full_info: str = "",
) -> JsonResponse:
    """`/userdata/{file}` saves the body, `/userdata/{file}/move/{dest}` gives it another name."""
    del file
    data, replace = known.service.stores.user_data, overwrite != "false"
    segments = _segments(request)
    if len(segments) == 3 and segments[1] == "move":
        source, _, target = map(unquote, segments)
        saved = await asyncio.to_thread(data.move, owner, source, target, overwrite=replace)
    else:
        (name,) = _names(request, 1)
        body = await read_bytes(request, MOST_BYTES, owner)
        saved = await asyncio.to_thread(data.write, owner, name, body, overwrite=replace)
    return JsonResponse(_info(saved) if _on(full_info) else saved.path)


@router.delete(
    "/userdata/{file:path}",
    summary="Remove a saved file",
    status_code=204,
    responses=errors(401, 403, 404),
)
async def remove(
    file: str, request: Request, owner: ActingEditorOwner, known: InContext
) -> Response:
    """Gone for good."""
    del file
    (name,) = _names(request, 1)
    await asyncio.to_thread(known.service.stores.user_data.delete, owner, name)
    return Response(status_code=204)


def _segments(request: Request) -> list[str]:
    """What follows /userdata/ in the path as it was sent, still quoted."""
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    sent = raw.partition(b"?")[0].decode("ascii", "replace")
    return sent.partition(PLACE)[2].split("/")


def _names(request: Request, count: int) -> list[str]:
    segments = _segments(request)
    if len(segments) != count:  # unquoted slashes, as careless clients send them
        segments = ["/".join(segments)]
    names = [unquote(segment) for segment in segments]
    if not all(names):
        raise UnsafePathError("", "a name is needed")
    return names


def _info(file: UserFile) -> dict[str, Any]:
    times = {"modified": file.modified_s, "created": file.modified_s}
    return {"path": file.path, "size": file.size, **times}


def _on(flag: str) -> bool:
    return flag.lower() in {"true", "1"}
