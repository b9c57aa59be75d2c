"""Model routes: the files that workflows may name, and the models that an owner uploads."""

import asyncio
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from api.bodies import JSON_TYPE, media_type
from api.context import InContext, Owner, OwnerWith
from api.documentation import errors
from api.json_response import JsonResponse
from api.models.intake import ModelIntake
from api.models.multipart_file import MultipartFile
from api.models.schemas import (
    FromUrl,
    Model,
    ModelList,
    OneModel,
    OneUpload,
    model_json,
    upload_json,
)
from api.schemas import LONGEST_WAIT_S
from graph.errors import MissingModelFile
from storage.models.kinds import PLACES

router = APIRouter(prefix="/api/v7/models", tags=["models"])
ModelOwner = Annotated[str, Depends(OwnerWith("models"))]
FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "folder": {"enum": sorted(PLACES)},
        "sha256": {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"},
    },
}
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": FORM},
            JSON_TYPE: {"schema": FromUrl.model_json_schema()},
        },
    }
}


async def intake(known: InContext) -> ModelIntake:
    return known.service.stores.models


Intake = Annotated[ModelIntake, Depends(intake)]


@router.get(
    "",
    summary="The models there are",
    response_model=ModelList,
    responses=errors(401, 403, 422, 429),
)
async def list_models(
    owner: Owner,
    models: Intake,
    folder: Annotated[str, Query(description="Of one folder only: checkpoints, loras ...")] = "",
    search: Annotated[str, Query(description="Part of a name.")] = "",
) -> JsonResponse:
    """Your own, then the shared ones; `id` is what a workflow names them by."""
    own = [Model.of(model) for model in await models.store.models.list(owner)]
    shared = await asyncio.to_thread(list, _shared(models, folder))
    shown = [
        model.model_dump()
        for model in (*own, *shared)
        if folder in {"", model.folder} and search.lower() in model.name.lower()
    ]
    return JsonResponse({"status": "success", "models": shown})


@router.post(
    "",
    summary="Add a model",
    status_code=201,
    response_model=OneModel,
    responses={202: {"model": OneUpload}, **errors(400, 401, 403, 413, 415, 422, 429, 503)},
    openapi_extra=BODY,
)
async def add(
    request: Request, owner: ModelOwner, models: Intake, known: InContext
) -> JsonResponse:
    """A file as multipart form, or `{"url": ...}` of an allowed host.

    A URL that takes longer than `wait` is answered with 202 and an upload to look at.
    """
    if media_type(request) != JSON_TYPE:
        return JsonResponse(model_json(await models.receive(owner, MultipartFile(request))), 201)
    body = await known.body_of(request)(owner)
    wanted = FromUrl.read({name: value for name, value in body.items() if name != "key"})
    upload = await models.fetch(owner, wanted.url, wanted.announced())
    upload = await models.fetched(upload, min(wanted.wait, LONGEST_WAIT_S))
    if upload.state == "ready" and upload.model_id:
        return JsonResponse(model_json(await models.store.models.get(owner, upload.model_id)), 201)
    offset = await asyncio.to_thread(models.uploads.offset, upload)
    return JsonResponse(upload_json(upload, offset, models.uploads.terms.kept_s), 202)


@router.get(
    "/{model_id}",
    summary="One of your models",
    response_model=OneModel,
    responses=errors(401, 403, 404, 429),
)
async def show(model_id: str, owner: Owner, models: Intake) -> JsonResponse:
    """What it is, told by its tensors."""
    return JsonResponse(model_json(await models.store.models.get(owner, model_id)))


@router.delete(
    "/{model_id}",
    summary="Delete one of your models",
    response_model=OneModel,
    responses=errors(401, 403, 404, 429),
)
async def delete(model_id: str, owner: ModelOwner, models: Intake) -> JsonResponse:
    """Jobs that have begun with it may fail; no other can name it any more."""
    return JsonResponse(model_json(await models.store.remove(owner, model_id)))


def _shared(models: ModelIntake, folder: str) -> Iterator[Model]:
    """The shared files, as far as is known without reading them."""
    for place in (folder,) if folder in PLACES else () if folder else sorted(PLACES):
        for name in models.library.list(place):
            try:
                file = models.library.find(place, name)
                size = sum(path.stat().st_size for path in models.library.parts(file).values())
            except (MissingModelFile, OSError):  # gone meanwhile
                continue
            facts = models.checks.known(file)
            yield Model(
                id=name,
                name=name,
                folder=place,
                owned=False,
                kind=facts.kind if facts else None,
                family=(facts.family or None) if facts else None,
                size=size,
            )
