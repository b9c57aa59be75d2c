"""/templates: workflows of our own that run with the demo model, in the editor's list of them.

`/?template=NAME` opens one of them.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response

from api.context import EditorOwner
from api.documentation import content, errors
from api.json_response import JsonResponse
from storage.files import MissingFileError

ROOT = Path(__file__).parents[2]
EXAMPLES, GALLERY = ROOT / "examples", ROOT / "docs" / "gallery"
ENDING = ".ui.json"
PICTURE = "-1.png"  # what the editor puts after a template's name for its picture
LOADERS = frozenset({"LoadImage", "LoadImageMask"})  # of files that a new user does not have
FIRST = "text_to_image"

router = APIRouter(tags=["comfyui"])


@router.get("/workflow_templates", summary="Templates of packs", responses=errors(401, 403))
async def of_packs(_owner: EditorOwner) -> JsonResponse:
    """None."""
    return JsonResponse({})


@router.get("/templates/index.json", summary="Templates", responses=errors(401, 403))
async def index(_owner: EditorOwner) -> JsonResponse:
    """In the editor's groups."""
    listed = [
        {
            "name": name,
            "title": name.replace("_", " ").capitalize(),
            "description": "Runs with the demo model.",
            "mediaType": "image",
            "mediaSubtype": "png",
        }
        for name in template_names()
    ]
    group = {"moduleName": "default", "title": "comfyray", "type": "image", "templates": listed}
    return JsonResponse([group] if listed else [])


@router.get(
    "/templates/{file}",
    summary="A template, or its picture",
    response_class=Response,
    responses={200: content("*/*"), **errors(401, 403, 404)},
)
async def template(file: str, _owner: EditorOwner) -> Response:
    """`NAME.json` or `NAME-1.png`."""
    for ending, folder, own in ((PICTURE, GALLERY, ".png"), (".json", EXAMPLES, ENDING)):
        name = file.removesuffix(ending)
        if file.endswith(ending) and name in template_names():
            return FileResponse(folder / f"{name}{own}")
    raise MissingFileError(file[:200])


@cache
def template_names() -> tuple[str, ...]:
    """The examples with a picture that need no file of the user's."""
    names = [path.name.removesuffix(ENDING) for path in EXAMPLES.glob(f"*{ENDING}")]
    ready = [
        name
        for name in names
        if (GALLERY / f"{name}.png").exists()
        and not LOADERS & _types(json.loads((EXAMPLES / f"{name}{ENDING}").read_text()))
    ]
    return tuple(sorted(ready, key=lambda name: (name != FIRST, name)))


def _types(document: dict[str, Any]) -> set[str]:
    return {node["type"] for node in document["nodes"]}
