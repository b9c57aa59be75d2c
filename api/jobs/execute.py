"""POST /api/v7/comfyui/execute."""

from typing import Annotated, Any

from fastapi import APIRouter, Header

from api.context import ActingCall, BaseUrl, InContext
from api.documentation import errors, json_body
from api.errors import one_field
from api.jobs.answers import API
from api.json_response import JsonResponse
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
    call: ActingCall,
    known: InContext,
    base_url: BaseUrl,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = "",
) -> JsonResponse:
    """Post a workflow; the answer has its pictures, or says where to fetch them."""
    if idempotency_key is not None and not 1 <= len(idempotency_key) <= LONGEST_KEY:
        raise one_field("Idempotency-Key", f"1 to {LONGEST_KEY} characters", idempotency_key[:80])
    answer = await known.service.execute(
        call.caller,
        _asynchronous(call.body) if "respond-async" in prefer.lower() else call.body,
        idempotency_key=idempotency_key,
        base_url=base_url,
    )
    return JsonResponse(answer)


def _asynchronous(body: dict[str, Any]) -> dict[str, Any]:
    return body | {"wait": 0}
