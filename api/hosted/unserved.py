"""Endpoints of the hosted API that are not implemented: answered with 501."""

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException

from api.hosted.problems import NotServedError
from api.hosted.route import HostedRoute
from api.json_response import JsonResponse
from api.methods import UNSERVED, methods_at

# All that is left of these; of v7, which has routes of our own too, what the hosted API has there.
ELSEWHERE = (
    *(f"/api/v{version}" for version in range(1, 7)),
    *(f"/api/v7/{part}" for part in ("images", "video-fusion", "voice", "llm", "workflows")),
    "/api/agents",
    "/api/uncensored-chat",
)
ALONE = (
    "/api/assets_generated",
    "/api/check_nsfw_cp",
    "/api/wallet_balance",
    "/api/subscribed_products",
)
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]

router = APIRouter(tags=[UNSERVED], route_class=HostedRoute, include_in_schema=False)


async def not_served(request: Request) -> JsonResponse:
    """Say so; or that it is the method that is wrong."""
    if methods_at(request):
        raise HTTPException(405)
    asked = f"{request.method} {request.url.path[:200]}"
    raise NotServedError(asked)


for _path in (*(f"{folder}/{{rest:path}}" for folder in ELSEWHERE), *ALONE):
    router.add_api_route(_path, not_served, methods=METHODS)
