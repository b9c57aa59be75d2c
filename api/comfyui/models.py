"""/models, /embeddings, /experiment/models: the model files that an owner may use."""

import asyncio
from pathlib import Path, PurePosixPath
from typing import Any

from fastapi import APIRouter

from api.context import Context, EditorOwner, InContext
from api.documentation import errors
from api.json_response import JsonResponse
from api.keys.access import LOCAL
from graph.errors import BadModelFile, MissingModelFile
from storage.files import MissingFileError
from storage.models.files import FOLDERS

router = APIRouter(tags=["comfyui"])


@router.get("/models", summary="Folders of models", responses=errors(401, 403))
async def folders(_owner: EditorOwner) -> JsonResponse:
    """ComfyUI's folder names."""
    return JsonResponse(list(FOLDERS))


@router.get("/models/{folder}", summary="Models of a folder", responses=errors(401, 403, 404))
async def models(folder: str, owner: EditorOwner, known: InContext) -> JsonResponse:
    """Names as loader nodes take them."""
    return JsonResponse(await _names(known, owner, folder))


@router.get("/embeddings", summary="Embeddings", responses=errors(401, 403))
async def embeddings(owner: EditorOwner, known: InContext) -> JsonResponse:
    """Names without their endings, as prompts take them."""
    names = await _names(known, owner, "embeddings")
    return JsonResponse([str(PurePosixPath(name).with_suffix("")) for name in names])


@router.get("/experiment/models", summary="Folders with their places", responses=errors(401, 403))
async def places(owner: EditorOwner, known: InContext) -> JsonResponse:
    """Paths of the machine are told to the local owner alone; others get names."""
    library = known.service.stores.models.library

    def listed() -> list[dict[str, Any]]:
        shown = owner == LOCAL
        return [
            {"name": name, "folders": [str(p) for p in library.places(name)] if shown else []}
            for name in FOLDERS
        ]

    return JsonResponse(await asyncio.to_thread(listed))


@router.get(
    "/experiment/models/{folder}", summary="Models with sizes", responses=errors(401, 403, 404)
)
async def files(folder: str, owner: EditorOwner, known: InContext) -> JsonResponse:
    """Name, size and times of each file of a folder."""
    names = await _names(known, owner, folder)
    library = known.service.stores.models.library

    def described() -> list[dict[str, Any]]:
        found = []
        for name in names:
            try:
                parts = library.parts(library.find_for(owner, folder, name)).values()
            except MissingModelFile:  # gone meanwhile
                continue
            found.append(_described(name, list(parts)))
        return found

    return JsonResponse(await asyncio.to_thread(described))


@router.get(
    "/experiment/models/preview/{folder}/{index}/{name:path}",
    summary="A model's picture",
    responses=errors(401, 403, 404),
)
async def preview(folder: str, index: str, name: str, _owner: EditorOwner) -> JsonResponse:
    """Pictures beside model files are not served."""
    raise MissingFileError(f"{folder}/{index}/{name}"[:200])


@router.get(
    "/view_metadata/{folder}",
    summary="What a model's author wrote",
    responses=errors(400, 401, 403, 404),
)
async def metadata(
    folder: str, owner: EditorOwner, known: InContext, filename: str = ""
) -> JsonResponse:
    """The `__metadata__` of a safetensors file; 404 where there is none."""
    models = known.service.stores.models
    try:
        file = await asyncio.to_thread(models.library.find_for, owner, folder, filename)
        written = await models.checks.metadata(file) if filename else {}
    except (MissingModelFile, BadModelFile) as error:
        raise MissingFileError(filename[:200]) from error
    if not written:
        raise MissingFileError(filename[:200])
    return JsonResponse(dict(written))


async def _names(known: Context, owner: str, folder: str) -> list[str]:
    if folder not in FOLDERS:
        raise MissingFileError(folder[:200])
    library = known.service.stores.models.library
    return list(await asyncio.to_thread(library.list_for, owner, folder))


def _described(name: str, parts: list[Path]) -> dict[str, Any]:
    stats = [part.stat() for part in parts]
    modified_s = max(stat.st_mtime for stat in stats)
    size = sum(stat.st_size for stat in stats)
    return {
        "name": name,
        "pathIndex": 0,
        "modified": modified_s,
        "created": modified_s,
        "size": size,
    }
