"""POST /prompt: a workflow in API format, as every client of ComfyUI sends it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Response

from api.comfyui.entries import number_of
from api.comfyui.prompt_errors import (
    node_errors,
    problem_bodies,
    refusal,
    refused,
    refused_status,
)
from api.comfyui.prompt_request import PromptRefused, PromptRequest, read_prompt
from api.context import BaseUrl, Context, EditorOwner, InContext, PromptCall, WorkflowCall
from api.documentation import errors, json_body
from api.errors import error_headers
from api.jobs.acceptance import Posted
from api.jobs.large_jobs import LargeJobs
from api.json_response import JsonResponse
from api.large_requests import Rendered, rendered_response, with_members
from graph.errors import ServiceError
from storage.jobs.records import JobRecord, PromptIdTakenError

BODY: Mapping[str, Any] = {
    "type": "object",
    "required": ["prompt"],
    "properties": {
        "prompt": {"type": "object", "description": "API format"},
        "client_id": {"type": "string"},
        "prompt_id": {"type": "string", "format": "uuid"},
        "number": {"type": "number"},
        "front": {"type": "boolean"},
        "partial_execution_targets": {"type": "array", "items": {"type": "string"}},
        "extra_data": {"type": "object"},
    },
}

router = APIRouter(tags=["comfyui"])


@router.get("/prompt", summary="How much is queued", responses=errors(401, 403))
async def queue_remaining(owner: EditorOwner, known: InContext) -> JsonResponse:
    """What runs and what waits, of the owner."""
    remaining = await known.service.stores.prompts.remaining(owner)
    return JsonResponse({"exec_info": {"queue_remaining": remaining}})


@router.post(
    "/prompt",
    summary="Queue a prompt",
    responses=errors(400, 401, 402, 403, 413, 429, 503),
    openapi_extra=json_body(BODY),
)
async def queue_prompt(call: PromptCall, known: InContext, base_url: BaseUrl) -> Response:
    """As ComfyUI's: accepted when at least one output can run."""
    if call.large is not None and known.service.large:
        jobs = LargeJobs(known.service, known.service.large)
        return await _post_large(call, call.large, jobs, base_url)
    try:
        posted = read_prompt(call.body)
    except PromptRefused as why:
        return JsonResponse(why.body, 400)
    return await _post(call, known, posted, base_url)


async def _post(
    call: WorkflowCall, known: Context, sent: PromptRequest, base_url: str
) -> JsonResponse:
    body = sent.body(retain_inputs=known.service.limits.keep_prompts)
    posted = Posted(base_url, face="comfyui", **sent.how_posted)
    try:
        record, prepared = await known.service.post(call.caller, body, posted)
    except PromptIdTakenError as error:
        return JsonResponse(refusal("invalid_prompt_id", str(error)), 400)
    except ServiceError as error:
        info = await known.service.runner.object_info(call.owner)
        return JsonResponse(
            refused(error, sent.prompt, info), refused_status(error), error_headers(error)
        )
    found: dict[str, Any] = {}
    if prepared.skipped:
        info = await known.service.runner.object_info(call.owner)
        found = node_errors(problem_bodies(prepared.skipped), sent.prompt, info)
    return JsonResponse(_accepted(record) | {"node_errors": found})


async def _post_large(call: WorkflowCall, raw: bytes, jobs: LargeJobs, base_url: str) -> Response:
    try:
        record, found = await jobs.prompt(call.caller, raw, base_url)
    except PromptIdTakenError as error:
        return JsonResponse(refusal("invalid_prompt_id", str(error)), 400)
    except ServiceError as error:
        return JsonResponse(refused(error, {}, {}), refused_status(error), error_headers(error))
    answer = Rendered.of(_accepted(record))
    return rendered_response(
        replace(answer, content=with_members(answer.content, {"node_errors": found}))
    )


def _accepted(record: JobRecord) -> dict[str, Any]:
    return {"prompt_id": record.prompt_id, "number": number_of(record)}
