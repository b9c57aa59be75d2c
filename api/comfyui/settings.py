"""/settings: the editor's settings of each owner (ComfyUI app/app_settings.py)."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.bodies import read_value
from api.comfyui.editor import Editor
from api.context import ActingEditorOwner, Context, EditorOwner, InContext
from api.documentation import errors, json_body
from api.errors import BodyError
from api.json_response import JsonResponse

MOST_BYTES = 2 * 2**20
VALUE: Mapping[str, Any] = {"description": "Any JSON value."}
VALUES: Mapping[str, Any] = {"type": "object", "description": "Values by name; others stay."}

router = APIRouter(tags=["comfyui"])


@router.get("/settings", summary="All settings", response_model=dict[str, Any])
async def settings(request: Request, owner: EditorOwner, known: InContext) -> JsonResponse:
    """The editor's settings of the owner."""
    return JsonResponse(await _all(request, known, owner))


@router.get("/settings/{name:path}", summary="One setting", responses=errors(401, 403))
async def setting(
    name: str, request: Request, owner: EditorOwner, known: InContext
) -> JsonResponse:
    """A setting that was never set is null, as in ComfyUI."""
    return JsonResponse((await _all(request, known, owner)).get(name))


@router.post(
    "/settings",
    summary="Change some settings",
    response_class=Response,
    responses=errors(400, 401, 403, 413),
    openapi_extra=json_body(VALUES),
)
async def change_settings(request: Request, owner: ActingEditorOwner, known: InContext) -> Response:
    """Settings that are not named stay as they are."""
    values = await read_value(request, MOST_BYTES, owner)
    if not isinstance(values, dict):
        raise BodyError(type(values).__name__)
    texts = {name: _text(value) for name, value in values.items()}
    await known.service.stores.user_settings.put(owner, texts)
    return Response()


@router.post(
    "/settings/{name:path}",
    summary="Change one setting",
    response_class=Response,
    responses=errors(400, 401, 403, 413),
    openapi_extra=json_body(VALUE),
)
async def change_setting(
    name: str, request: Request, owner: ActingEditorOwner, known: InContext
) -> Response:
    """The body is the value."""
    value = await read_value(request, MOST_BYTES, owner)
    await known.service.stores.user_settings.put(owner, {name: _text(value)})
    return Response()


async def _all(request: Request, known: Context, owner: str) -> dict[str, Any]:
    kept = await known.service.stores.user_settings.all(owner)
    first = _of_new_users(request.app.state.editor)
    return {**first, **{name: json.loads(value) for name, value in kept.items()}}


def _of_new_users(editor: Editor) -> dict[str, Any]:
    """No tutorial over a graph whose models nobody here has, and what their version defaults to."""
    installed = {"Comfy.InstalledVersion": editor.version} if editor.version else {}
    return {"Comfy.TutorialCompleted": True, **installed}


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
