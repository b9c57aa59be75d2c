"""GET /api/v7/account: an owner's usage, and the limits of the key that asks."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from api.context import CallerWith, InContext
from api.documentation import errors
from api.json_response import JsonResponse
from api.keys.access import Caller
from api.keys.schemas import Key
from storage.jobs.charges import usage
from storage.jobs.money import amount
from storage.keys import Keys

router = APIRouter(prefix="/api/v7/account", tags=["account"])


class Use(BaseModel):
    """What all jobs of the owner took, deleted ones too."""

    jobs: int
    unfinished_jobs: int
    outputs: int
    seconds: float = Field(description="Of running.")
    spent: float


class DiskUse(BaseModel):
    """What the owner's outputs, uploads and models take."""

    used_bytes: int
    limit_bytes: int


class PriceList(BaseModel):
    per_output: float
    per_second: float
    currency: str


class Account(BaseModel):
    status: Literal["success"]
    owner: str
    usage: Use
    disk: DiskUse
    key: Key | None = Field(description="The key that asked, its limits and its own account.")
    prices: PriceList


@router.get(
    "",
    summary="Usage, limits and prices",
    response_model=Account,
    responses=errors(401, 403, 429),
)
async def account(
    caller: Annotated[Caller, Depends(CallerWith("read"))], known: InContext
) -> JsonResponse:
    """Usage is the owner's, with all keys; budget and limits are the key's."""
    stores = known.service.stores
    used = await usage(stores.database, caller.owner)
    key = await Keys(stores.database).get(caller.key_id) if caller.key_id else None
    prices = stores.charges.prices
    answer: dict[str, Any] = {
        "status": "success",
        "owner": caller.owner,
        "usage": {
            "jobs": used.jobs,
            "unfinished_jobs": used.unfinished,
            "outputs": used.outputs,
            "seconds": round(used.seconds, 3),
            "spent": amount(used.spent),
        },
        "disk": {
            "used_bytes": await stores.disk.used(caller.owner),
            "limit_bytes": stores.disk.quota.of(caller.owner),
        },
        "key": Key.of(key).model_dump() if key else None,
        "prices": {
            "per_output": prices.per_output,
            "per_second": prices.per_second,
            "currency": prices.currency,
        },
    }
    return JsonResponse(answer)
