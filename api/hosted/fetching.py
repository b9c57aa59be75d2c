"""Fetches the result of a job, by GET or POST, with the id in the path or in the body."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field

from api.context import Call, base_url, context, read_job_id
from api.documentation import errors, json_body
from api.hosted.envelopes import fetched
from api.hosted.fields import HostedRequest, Id
from api.hosted.route import HostedReading, HostedRoute
from api.hosted.schemas import HostedAnswer
from api.json_response import JsonResponse

FETCHES = (
    "/api/v6/images/fetch",
    "/api/v7/images/fetch",
    "/api/v6/video/fetch",
    "/api/v7/video-fusion/fetch",
)
OTHER_FETCHES = (
    "/api/v6/realtime/fetch",
    "/api/v6/image_editing/fetch",
    "/api/v6/faceswap/fetch",
    "/api/v6/deepfake/fetch",
    "/api/v5/images/fetch",
    "/api/v5/controlnet/fetch",
    "/api/v4/dreambooth/fetch",
    "/api/v3/dreambooth/fetch",
    "/api/v3/fetch",
)
BY_ID = "/{request_id}"
ERRORS = (400, 401, 403, 404, 413, 415, 429)
REQUEST_ID = {
    "name": "request_id",
    "in": "query",
    "required": True,
    "schema": {"type": "string", "minLength": 1},
}


class Fetch(HostedRequest):
    """Which job."""

    request_id: Id = Field(description="The `id` of the answer to the request.")


class FetchById(HostedRequest):
    """Nothing but the key, which may be in a header too."""


router = APIRouter(tags=["hosted"], route_class=HostedRoute)


async def fetch(request: Request, call: HostedReading) -> JsonResponse:
    """The result, or `processing` with an empty `output`."""
    return await _answer(request, call, Fetch.read(call.body).request_id)


async def fetch_by_id(request: Request, call: HostedReading, request_id: str) -> JsonResponse:
    """The result, or `processing` with an empty `output`."""
    return await _answer(request, call, request_id)


async def _answer(request: Request, call: Call, request_id: str) -> JsonResponse:
    service = context(request).service
    answer = await service.answer(call.owner, read_job_id(request_id), base_url=base_url(request))
    return JsonResponse(fetched(answer))


def _add(path: str, handler: Any, kind: type[HostedRequest]) -> None:
    common: dict[str, Any] = {
        "summary": "A job's result",
        "response_model": HostedAnswer,
        "responses": errors(*ERRORS),
        "deprecated": path.removesuffix(BY_ID) not in FETCHES,
    }
    body = json_body(kind.model_json_schema(), required=kind is Fetch)
    router.add_api_route(path, handler, methods=["POST"], openapi_extra=body, **common)
    extra = {"parameters": [REQUEST_ID]} if kind is Fetch else None
    router.add_api_route(path, handler, methods=["GET"], openapi_extra=extra, **common)


for _path in (*FETCHES, *OTHER_FETCHES):
    _add(_path, fetch, Fetch)
    _add(_path + BY_ID, fetch_by_id, FetchById)
