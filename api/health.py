"""GET /healthz and /metrics."""

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.context import InContext
from api.json_response import JsonResponse

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="200 once requests are served")
async def healthz() -> JsonResponse:
    return JsonResponse({"status": "ok"})


@router.get("/metrics", summary="Figures for Prometheus", response_class=Response)
async def metrics(known: InContext) -> Response:
    registry = known.service.metrics.registry
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
