"""Routes about the server itself: users, features, system statistics, logs, extensions."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, get_args

import psutil
from fastapi import APIRouter, Request
from fastapi import Path as InPath
from fastapi.responses import FileResponse, Response

from api.comfyui.editor import TEMPLATE_SCRIPT, Editor
from api.comfyui.pack_pages import pack_scripts
from api.context import ActingEditorOwner, EditorOwner, InContext
from api.documentation import content, errors
from api.json_response import JsonResponse
from api.keys.access import LOCAL
from storage.models.files import FOLDERS
from storage.paths import UnsafePathError
from storage.uploads import UploadType

COMFYUI_VERSION = "0.3.64"  # whose API and nodes these are
STATIC = Path(__file__).parent / "static"

# Anything else is answered as ComfyUI does, with 400.
FileKind = Annotated[str, InPath(json_schema_extra={"enum": list(get_args(UploadType))})]

router = APIRouter(tags=["comfyui"])


@router.get("/users", summary="Users", responses=errors(401, 403))
async def users(_owner: EditorOwner) -> JsonResponse:
    """One user for each owner: who somebody is, the key says."""
    return JsonResponse({"storage": "server", "migrated": True})


@router.get("/features", summary="Features of this server", responses=errors(401, 403))
async def features(_owner: EditorOwner, known: InContext) -> JsonResponse:
    """As /ws answers a client's own."""
    return JsonResponse(features_of(known.service.stores.uploads.limits.most_bytes))


def features_of(most_upload_bytes: int) -> dict[str, Any]:
    """What this server can do beyond the oldest clients' expectations."""
    return {"supports_preview_metadata": True, "max_upload_size": most_upload_bytes}


@router.get("/system_stats", summary="Versions and memory", responses=errors(401, 403))
async def system_stats(request: Request, owner: EditorOwner) -> JsonResponse:
    """The command line is told to the local owner alone."""
    editor: Editor = request.app.state.editor
    memory = psutil.virtual_memory()
    sizes = {"vram_total": memory.total, "vram_free": memory.available}
    torch = {f"torch_{name}": size for name, size in sizes.items()}
    return JsonResponse(
        {
            "system": {
                "os": os.name,
                "ram_total": memory.total,
                "ram_free": memory.available,
                "comfyui_version": COMFYUI_VERSION,
                "required_frontend_version": editor.version or COMFYUI_VERSION,
                "installed_templates_version": None,
                "required_templates_version": None,
                "python_version": sys.version,
                "pytorch_version": _version("torch"),
                "embedded_python": False,
                "argv": sys.argv if owner == LOCAL else ["comfyray"],
            },
            "devices": [
                {"name": platform.machine(), "type": "cpu", "index": None, **sizes, **torch}
            ],
        }
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


@router.get("/extensions", summary="Scripts of the editor", responses=errors(401, 403))
async def extensions(request: Request, _owner: EditorOwner) -> JsonResponse:
    """The installed editor's own, ours, and those of packs."""
    editor: Editor = request.app.state.editor
    return JsonResponse([*editor.extensions(), *pack_scripts(request)])


@router.get(TEMPLATE_SCRIPT, include_in_schema=False)
async def template_script(_owner: EditorOwner) -> Response:
    """Loaded by editors that do not open templates from their address."""
    return FileResponse(STATIC / "template.js", headers={"Cache-Control": "no-cache"})


@router.get("/i18n", summary="Translations", responses=errors(401, 403))
async def translations(_owner: EditorOwner) -> JsonResponse:
    """None beside the editor's own."""
    return JsonResponse({})


@router.get("/global_subgraphs", summary="Subgraphs for all", responses=errors(401, 403))
async def subgraphs(_owner: EditorOwner) -> JsonResponse:
    """None."""
    return JsonResponse({})


@router.get("/node_replacements", summary="Nodes in place of others", responses=errors(401, 403))
async def replacements(_owner: EditorOwner) -> JsonResponse:
    """None."""
    return JsonResponse({})


@router.post("/free", summary="Give memory back", response_class=Response)
async def free(_owner: ActingEditorOwner) -> Response:
    """Accepted and nothing done: models are shared, and go when others need the memory."""
    return Response()


@router.get(
    "/user.css",
    summary="A user's style",
    response_class=Response,
    responses={200: content("text/css"), **errors(401, 403)},
)
async def style(_owner: EditorOwner) -> Response:
    """Nobody has one."""
    return Response("", media_type="text/css")


@router.get("/internal/logs", summary="The log", responses=errors(401, 403))
async def logs(_owner: EditorOwner) -> JsonResponse:
    """Empty: logs are the operator's, and are not served."""
    return JsonResponse("")


@router.get("/internal/logs/raw", summary="The log's lines", responses=errors(401, 403))
async def log_lines(_owner: EditorOwner) -> JsonResponse:
    """As /internal/logs."""
    return JsonResponse({"entries": [], "size": {"cols": 80, "rows": 24}})


@router.patch("/internal/logs/subscribe", summary="Follow the log", response_class=Response)
async def follow_log(_owner: ActingEditorOwner) -> Response:
    """Accepted; there are no lines to send."""
    return Response()


@router.get("/internal/files/{kind}", summary="Files of a kind", responses=errors(400, 401, 403))
async def files(kind: FileKind, owner: EditorOwner, known: InContext) -> JsonResponse:
    """The owner's uploads; outputs are in the history."""
    if kind not in get_args(UploadType):
        raise UnsafePathError(kind[:80], f"it is not one of {', '.join(get_args(UploadType))}")
    names = await known.service.stores.inputs.list(owner) if kind == "input" else ()
    return JsonResponse([f"{name} [{kind}]" for name in names])


@router.get("/internal/folder_paths", summary="Folders of models", responses=errors(401, 403))
async def folder_paths(owner: EditorOwner, known: InContext) -> JsonResponse:
    """Paths of the machine, told to the local owner alone."""
    library = known.service.stores.models.library
    shown = owner == LOCAL
    return JsonResponse(
        {name: [str(p) for p in library.places(name)] if shown else [] for name in FOLDERS}
    )
