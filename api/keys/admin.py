"""Administration of API keys over HTTP, for keys with the scope `admin`."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from api.context import Call, CallWith, InContext, OwnerWith
from api.documentation import errors, json_body
from api.json_response import JsonResponse
from api.keys.schemas import OWNER_PATTERN, Key, KeyChange, KeyList, MadeKey, NewKey, OneKey
from storage.keys import KeyRecord, Keys

router = APIRouter(prefix="/api/v7/admin/keys", tags=["admin"])
AdminCall = Annotated[Call, Depends(CallWith("admin"))]
Admin = Depends(OwnerWith("admin"))


async def keys(known: InContext) -> Keys:
    return Keys(known.service.stores.database)


InKeys = Annotated[Keys, Depends(keys)]


@router.post(
    "",
    summary="Make an API key",
    status_code=201,
    response_model=MadeKey,
    responses=errors(400, 401, 403, 413, 415, 422, 429),
    openapi_extra=json_body(NewKey.model_json_schema()),
)
async def create(call: AdminCall, table: InKeys) -> JsonResponse:
    """The answer shows the key, once; only a hash of it is kept."""
    wanted = NewKey.read(call.body)
    key, record = await table.create(wanted.owner, wanted.terms())
    return JsonResponse({"key": key} | _one(record), 201)


@router.get(
    "",
    summary="All API keys",
    dependencies=[Admin],
    response_model=KeyList,
    responses=errors(401, 403, 422, 429),
)
async def list_keys(
    table: InKeys,
    owner: Annotated[
        str | None, Query(description="One owner's only.", pattern=OWNER_PATTERN)
    ] = None,
) -> JsonResponse:
    """The oldest first, with what each may do and has used."""
    records = await table.list(owner)
    shown = [Key.of(record).model_dump() for record in records]
    return JsonResponse({"status": "success", "api_keys": shown})


@router.get(
    "/{key_id}",
    summary="One API key",
    dependencies=[Admin],
    response_model=OneKey,
    responses=errors(401, 403, 404, 429),
)
async def show(key_id: str, table: InKeys) -> JsonResponse:
    """What it may do and has used."""
    return JsonResponse(_one(await table.get(key_id)))


@router.patch(
    "/{key_id}",
    summary="Change an API key",
    response_model=OneKey,
    responses=errors(400, 401, 403, 404, 413, 415, 422, 429),
    openapi_extra=json_body(KeyChange.model_json_schema()),
)
async def change(key_id: str, call: AdminCall, table: InKeys) -> JsonResponse:
    """Give it another budget, rate, number of jobs, end or scopes; it holds from now."""
    return JsonResponse(_one(await table.change(key_id, KeyChange.read(call.body).given())))


@router.delete(
    "/{key_id}",
    summary="Revoke an API key",
    dependencies=[Admin],
    response_model=OneKey,
    responses=errors(401, 403, 404, 429),
)
async def revoke(key_id: str, table: InKeys) -> JsonResponse:
    """It does not hold any more; jobs that it started go on. Idempotent."""
    return JsonResponse(_one(await table.revoke(key_id)))


def _one(record: KeyRecord) -> dict[str, Any]:
    return {"status": "success", "api_key": Key.of(record).model_dump()}
