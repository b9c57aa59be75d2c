"""GET /healthz and /metrics."""

from typing import Literal

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from api.context import InContext, OwnerWith
from api.documentation import errors
from api.json_response import JsonResponse
from api.version import VERSION

router = APIRouter(tags=["health"])


class Healthy(BaseModel):
    status: Literal["ok"]
    version: str


@router.get("/healthz", summary="200 once requests are served", response_model=Healthy)
async def healthz() -> JsonResponse:
    return JsonResponse({"status": "ok", "version": VERSION})


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    dependencies=[Depends(OwnerWith("metrics"))],
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **errors(429)},
)
async def metrics(known: InContext) -> Response:
    """Of the whole service, so that a key needs the scope `metrics`."""
    service = known.service
    waits_s = await service.stores.outbox.oldest_waits_s()
    page = await service.metrics.page(oldest_webhook_s=waits_s)
    return Response(page, media_type=CONTENT_TYPE_LATEST)
