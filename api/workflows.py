"""Routes that read workflows without running them: schema, convert."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Response

from api.context import InContext, WorkflowReading
from api.documentation import errors, json_body
from api.jobs.answers import API
from api.json_response import JsonResponse
from api.large_requests import Asked, rendered_response
from api.schemas import EXAMPLE_WORKFLOW
from api.workflow_bodies import CONVERT_FIELDS, SCHEMA_FIELDS, read_only

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
async def schema(call: WorkflowReading, known: InContext) -> Response:
    """Name, type, default, range and choices of all that can be overridden."""
    if call.large is not None and (large := known.service.large):
        return rendered_response(await large.schema(Asked(call.owner, call.large)))
    read = partial(known.service.runner.schema, call.owner)
    return JsonResponse(await read_only(call.body, SCHEMA_FIELDS, read))


@router.post(
    "/convert",
    summary="UI format to API format",
    response_model=dict[str, Any],
    responses=errors(400, 401, 403, 413, 415, 422),
    openapi_extra=json_body(CONVERT_BODY, {"workflow": EXAMPLE_WORKFLOW}),
)
async def convert(call: WorkflowReading, known: InContext) -> Response:
    """With `object_info` it converts for any ComfyUI."""
    if call.large is not None and (large := known.service.large):
        return rendered_response(await large.convert(Asked(call.owner, call.large)))
    read = partial(known.service.runner.convert, call.owner)
    return JsonResponse(await read_only(call.body, CONVERT_FIELDS, read))
