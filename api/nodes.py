"""GET /object_info: node types in ComfyUI's format."""

import asyncio
from typing import Any

from fastapi import APIRouter

from api.context import EditorOwner, InContext
from api.documentation import errors
from api.json_response import JsonResponse

router = APIRouter(tags=["nodes"])


@router.get(
    "/object_info",
    summary="All node types",
    response_model=dict[str, Any],
    responses=errors(401, 403),
)
async def object_info(owner: EditorOwner, known: InContext) -> JsonResponse:
    """ComfyUI's own route, file lists filled in."""
    types = await known.service.runner.object_info(owner)
    return JsonResponse(await asyncio.to_thread(dict, types))


@router.get(
    "/object_info/{node_class}",
    summary="One node type",
    response_model=dict[str, Any],
    responses=errors(401, 403),
)
async def object_info_of(node_class: str, owner: EditorOwner, known: InContext) -> JsonResponse:
    """An unknown class is an empty object, as in ComfyUI."""
    types = await known.service.runner.object_info(owner)
    return JsonResponse({node_class: types[node_class]} if node_class in types else {})
