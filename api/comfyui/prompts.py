"""POST /prompt: a workflow in API format, as every client of ComfyUI sends it."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from fastapi import APIRouter

from api.comfyui.entries import number_of
from api.comfyui.prompt_errors import node_errors, problem_bodies, refusal, refused, without_class
from api.context import ActingEditorCall, BaseUrl, Context, EditorOwner, InContext
from api.documentation import errors, json_body
from api.errors import error_headers
from api.jobs.acceptance import Posted
from api.json_response import JsonResponse
from graph.errors import ServiceError
from storage.jobs.records import PromptIdTakenError

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SECRETS = frozenset({"api_key_comfy_org", "auth_token_comfy_org", "key", "api_key", "token"})
LONGEST_CLIENT_ID = 128
LARGEST_NUMBER = 2.0**53
BAD_ID = "prompt_id must be a UUID in small letters, with its hyphens"
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
async def queue_prompt(call: ActingEditorCall, known: InContext, base_url: BaseUrl) -> JsonResponse:
    """As ComfyUI's: accepted when at least one output can run."""
    try:
        posted = _read(call.body)
    except PromptRefused as why:
        return JsonResponse(why.body, 400)
    return await _post(call, known, posted, base_url)


class PromptRefused(Exception):  # noqa: N818 - a refusal, told in ComfyUI's shape
    """A body that is no prompt."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__()
        self.body = body


@dataclass(frozen=True)
class PromptRequest:
    """What a client sent, as far as it counts here."""

    prompt: dict[str, Any]
    extra_data: dict[str, Any]
    targets: list[str] | None
    prompt_id: str
    client_id: str | None
    number: float
    front: bool

    @property
    def workflow_id(self) -> str | None:
        """The id of the editor's file."""
        info = self.extra_data.get("extra_pnginfo")
        workflow = info.get("workflow") if isinstance(info, dict) else None
        found = workflow.get("id") if isinstance(workflow, dict) else None
        return found if isinstance(found, str) and _is_name(found) else None


async def _post(
    call: ActingEditorCall, known: Context, sent: PromptRequest, base_url: str
) -> JsonResponse:
    body: dict[str, Any] = {
        "workflow": sent.prompt,
        "extra_data": sent.extra_data,
        "retain_inputs": known.service.limits.keep_prompts,
    }
    if sent.targets is not None:
        body["targets"] = sent.targets
    posted = Posted(
        base_url,
        face="comfyui",
        prompt_id=sent.prompt_id,
        client_id=sent.client_id,
        workflow_id=sent.workflow_id,
        number=sent.number,
        front=sent.front,
    )
    try:
        record, prepared = await known.service.post(call.caller, body, posted)
    except PromptIdTakenError as error:
        return JsonResponse(refusal("invalid_prompt_id", str(error)), 400)
    except ServiceError as error:
        info = await known.service.runner.object_info(call.owner)
        status = 400 if error.status in {409, 415, 422} else error.status
        return JsonResponse(refused(error, sent.prompt, info), status, error_headers(error))
    found: dict[str, Any] = {}
    if prepared.skipped:
        info = await known.service.runner.object_info(call.owner)
        found = node_errors(problem_bodies(prepared.skipped), sent.prompt, info)
    accepted = {"prompt_id": sent.prompt_id, "number": number_of(record)}
    return JsonResponse(accepted | {"node_errors": found})


def _read(body: Mapping[str, Any]) -> PromptRequest:
    """Raises: PromptRefused."""
    prompt = body.get("prompt")
    if not isinstance(prompt, dict):
        raise PromptRefused(refusal("no_prompt", "No prompt provided", "No prompt provided"))
    prompt_id = body.get("prompt_id") or str(uuid.uuid4())
    if not isinstance(prompt_id, str) or not UUID.fullmatch(prompt_id):
        raise PromptRefused(refusal("invalid_prompt_id", BAD_ID))
    if why := without_class(prompt):
        raise PromptRefused(why)
    client_id, extra = _client_id(body), body.get("extra_data")
    kept = {k: v for k, v in extra.items() if k not in SECRETS} if isinstance(extra, dict) else {}
    if client_id is not None:
        kept["client_id"] = client_id
    targets = body.get("partial_execution_targets")
    return PromptRequest(
        prompt,
        kept,
        [str(one) for one in targets] if isinstance(targets, list) else None,
        prompt_id,
        client_id,
        _number(body),
        bool(body.get("front")),
    )


def _client_id(body: Mapping[str, Any]) -> str | None:
    client_id = body.get("client_id")
    if client_id is None or client_id == "":
        return None
    if isinstance(client_id, str) and _is_name(client_id):
        return client_id
    said = f"client_id must be a text of at most {LONGEST_CLIENT_ID} characters"
    raise PromptRefused(refusal("invalid_client_id", said))


def _is_name(text: str) -> bool:
    return len(text) <= LONGEST_CLIENT_ID and text.isprintable()


def _number(body: Mapping[str, Any]) -> float:
    """0 for the next one."""
    try:
        number = float(body.get("number") or 0)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not isfinite(number) or abs(number) > LARGEST_NUMBER:
        raise PromptRefused(refusal("invalid_number", "number must be a number below 2**53"))
    return number
