"""The routes of all endpoint families of the hosted API."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request

from api.documentation import errors, json_body
from api.hosted import (
    base64_to_url,
    controlnet,
    face_swap,
    image_to_image,
    image_to_video,
    inpaint,
    outpaint,
    super_resolution,
    text_to_image,
    text_to_video,
)
from api.hosted.execution import run
from api.hosted.family import Family
from api.hosted.route import HostedActing, HostedRoute
from api.hosted.schemas import HostedAnswer
from api.json_response import JsonResponse

ERRORS = (400, 401, 402, 403, 413, 415, 429, 501, 503)
FAMILIES = (
    text_to_image.FAMILY,
    text_to_image.REALTIME,
    image_to_image.FAMILY,
    image_to_image.REALTIME,
    inpaint.FAMILY,
    controlnet.FAMILY,
    outpaint.FAMILY,
    super_resolution.FAMILY,
    face_swap.SINGLE,
    face_swap.MULTIPLE,
    base64_to_url.FAMILY,
    text_to_video.FAMILY,
    image_to_video.FAMILY,
)

router = APIRouter(tags=["hosted"], route_class=HostedRoute)


def _handler(family: Family) -> Callable[..., Coroutine[Any, Any, JsonResponse]]:
    async def handle(request: Request, call: HostedActing) -> JsonResponse:
        return JsonResponse(await run(request, call, family))

    handle.__doc__ = family.request.__doc__
    return handle


for _family in FAMILIES:
    for _path in (*_family.paths, *_family.older):
        router.add_api_route(
            _path,
            _handler(_family),
            methods=["POST"],
            summary=_family.summary,
            response_model=HostedAnswer,
            responses=errors(*ERRORS),
            openapi_extra=json_body(
                _family.request.model_json_schema(by_alias=False), _family.example
            ),
            deprecated=_path in _family.older,
        )
