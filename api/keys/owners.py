"""DELETE /api/v7/admin/owners/{owner}: deletes an owner and all of its data."""

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel

from api.context import InContext, OwnerWith
from api.documentation import errors
from api.jobs.service import Service
from api.json_response import JsonResponse
from api.keys.schemas import OWNER_PATTERN
from storage.jobs.charges import forget_charges
from storage.jobs.records import JobFilter, MissingJobError
from storage.keys import Keys

PAGE = 200

router = APIRouter(prefix="/api/v7/admin/owners", tags=["admin"])


class Forgotten(BaseModel):
    """How much there was."""

    status: Literal["success"]
    owner: str
    api_keys: int
    jobs: int
    models: int


@router.delete(
    "/{owner}",
    summary="Delete an owner with all it has",
    dependencies=[Depends(OwnerWith("admin"))],
    response_model=Forgotten,
    responses=errors(422),
)
async def forget(
    owner: Annotated[str, Path(pattern=OWNER_PATTERN)], known: InContext
) -> JsonResponse:
    """Ends its keys, stops its jobs, and removes its jobs, files, settings, models and charges."""
    service = known.service
    stores = service.stores
    keys = await Keys(stores.database).remove_all(owner)
    jobs = await _without_jobs(service, owner)
    for upload in await stores.models.uploads.of_owner(owner):
        await stores.models.abort(upload)
    models = await stores.models.store.models.list(owner)
    for model in models:
        await stores.models.store.remove(owner, model.id)
    await asyncio.to_thread(stores.uploads.remove_all, owner)
    await asyncio.to_thread(stores.outputs.remove_all, owner)
    await asyncio.to_thread(stores.user_data.remove_all, owner)
    await stores.user_settings.remove_all(owner)
    await stores.assets.remove_all(owner)
    await stores.counters.remove_all(owner)
    await stores.disk.forget(owner)
    await forget_charges(stores.database, owner)
    there_was = {"api_keys": keys, "jobs": jobs, "models": len(models)}
    return JsonResponse({"status": "success", "owner": owner, **there_was})


async def _without_jobs(service: Service, owner: str) -> int:
    """Stop and delete all jobs; returns how many."""
    count = 0
    while page := await service.stores.jobs.page(owner, JobFilter(limit=PAGE)):
        for record in page:
            try:
                await service.delete(owner, record.id)
            except MissingJobError:  # deleted meanwhile
                continue
            count += 1
    return count
