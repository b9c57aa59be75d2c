"""Routes that read workflows without running them: schema, convert."""

from functools import partial
from typing import Any

from fastapi import APIRouter

from api.context import InContext, ReadingCall
from api.documentation import errors, json_body
from api.jobs.answers import API
from api.json_response import JsonResponse
from api.schemas import EXAMPLE_WORKFLOW
from api.workflow_bodies import read_only

WORKFLOW = {
    "type": ["object", "string"],
    "description": "API format or UI format, as an object or JSON text",
}
SCHEMA_BODY = {"type": "object", "required": ["workflow"], "properties": {"workflow": WORKFLOW}}
CONVERT_BODY = {
    "type": "object",
    "required": ["workflow"],
    "properties": {
        "workflow": WORKFLOW,
        "object_info": {
            "type": ["object", "null"],
            "description": "Node types of another server",
        },
    },
}

router = APIRouter(prefix=API, tags=["workflows"])


@router.post(
    "/schema",
    summary="A workflow's parameters as JSON Schema",
    response_model=dict[str, Any],
    responses=errors(400, 401, 403, 413, 415, 422),
    openapi_extra=json_body(SCHEMA_BODY, {"workflow": EXAMPLE_WORKFLOW}),
)
async def schema(call: ReadingCall, known: InContext) -> JsonResponse:
    """Name, type, default, range and choices of all that can be overridden."""
    read = partial(known.service.runner.schema, call.owner)
    return JsonResponse(await read_only(call.body, ("workflow",), read))


@router.post(
    "/convert",
    summary="UI format to API format",
    response_model=dict[str, Any],
    responses=errors(400, 401, 403, 413, 415, 422),
    openapi_extra=json_body(CONVERT_BODY, {"workflow": EXAMPLE_WORKFLOW}),
)
async def convert(call: ReadingCall, known: InContext) -> JsonResponse:
    """With `object_info` it converts for any ComfyUI."""
    read = partial(known.service.runner.convert, call.owner)
    return JsonResponse(await read_only(call.body, ("workflow", "object_info"), read))
