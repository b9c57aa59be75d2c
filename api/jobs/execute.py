"""POST /api/v7/comfyui/execute."""

from typing import Annotated

from fastapi import APIRouter, Header, Response

from api.context import BaseUrl, InContext, WorkflowActing
from api.documentation import errors, json_body
from api.errors import one_field
from api.jobs.acceptance import Posted
from api.jobs.answers import API
from api.jobs.large_jobs import LargeJobs
from api.json_response import JsonResponse
from api.large_requests import rendered_response
from api.schemas import Answer, ExecuteRequest

LONGEST_KEY = 255

router = APIRouter(prefix=API, tags=["jobs"])
IdempotencyKey = Annotated[
    str | None,
    Header(description="The same key and body give the same job; another body gives 409."),
]
Prefer = Annotated[str, Header(description="`respond-async` answers at once.")]


@router.post(
    "/execute",
    summary="Run a ComfyUI workflow",
    response_model=Answer,
    responses=errors(400, 401, 402, 403, 409, 413, 415, 422, 429, 503),
    openapi_extra=json_body(ExecuteRequest.model_json_schema()),
)
async def execute(
    call: WorkflowActing,
    known: InContext,
    base_url: BaseUrl,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = "",
) -> Response:
    """Post a workflow; the answer has its pictures, or says where to fetch them."""
    if idempotency_key is not None and not 1 <= len(idempotency_key) <= LONGEST_KEY:
        raise one_field("Idempotency-Key", f"1 to {LONGEST_KEY} characters", idempotency_key[:80])
    asynchronous = "respond-async" in prefer.lower()
    if call.large is not None and known.service.large:
        jobs = LargeJobs(known.service, known.service.large)
        posted = Posted(base_url, idempotency_key)
        written = await jobs.execute(call.caller, call.large, posted, asynchronous=asynchronous)
        return rendered_response(written)
    answer = await known.service.execute(
        call.caller,
        call.body | {"wait": 0} if asynchronous else call.body,
        idempotency_key=idempotency_key,
        base_url=base_url,
    )
    return JsonResponse(answer)
