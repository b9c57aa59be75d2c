"""POST /api/v7/comfyui/execute."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request

from api.answers import API
from api.bodies import read_json
from api.context import BaseUrl, InContext
from api.documentation import errors, json_body
from api.errors import one_field
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
    request: Request,
    known: InContext,
    base_url: BaseUrl,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = "",
) -> JsonResponse:
    """Post a workflow; the answer has its pictures, or says where to fetch them."""
    if idempotency_key is not None and not 1 <= len(idempotency_key) <= LONGEST_KEY:
        raise one_field("Idempotency-Key", f"1 to {LONGEST_KEY} characters", idempotency_key[:80])
    body = await read_json(request, known.most_body_bytes)
    owner = await known.access.owner(request, body)
    answer = await known.service.execute(
        owner,
        _asynchronous(body) if "respond-async" in prefer.lower() else body,
        idempotency_key=idempotency_key,
        base_url=base_url,
    )
    return JsonResponse(answer)


def _asynchronous(body: dict[str, Any]) -> dict[str, Any]:
    return body | {"wait": 0}
