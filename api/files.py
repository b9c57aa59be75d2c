"""Files in and out: ComfyUI's /upload/image, /upload/mask and /view, and signed output URLs."""

import asyncio
import json
import mimetypes
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, cast, get_args
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response
from starlette.datastructures import FormData, UploadFile

from api.bodies import read_form, text_field
from api.context import ActingOwner, InContext, Owner
from api.documentation import errors, form_body
from api.errors import one_field
from api.json_response import JsonResponse
from graph.errors import ServiceError
from storage.paths import UnsafePathError, relative_name
from storage.pictures import repaint
from storage.uploads import MissingInputError, Place, Uploads, UploadType, annotated

FORM_BYTES = 1024 * 1024  # what the fields beside the file may take
SHOWN = ("image/", "video/", "audio/")  # other types are downloads: a page must not run here
NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}
FIELDS: dict[str, dict[str, Any]] = {
    "image": {"type": "string", "format": "binary"},
    "type": {"enum": list(get_args(UploadType)), "default": "input"},
    "subfolder": {"type": "string", "default": ""},
    "overwrite": {"enum": ["true", "1", "false"], "default": "false"},
}
ORIGINAL = {"type": "string", "description": 'JSON: {"filename", "subfolder", "type"}'}

DEFAULT_QUALITY = 90

router = APIRouter(tags=["files"])


@dataclass(eq=False)
class MissingFileError(ServiceError):
    """A file that /view does not find."""

    status = 404
    code = "file_not_found"
    template = "There is no file {name!r}."
    name: str


@router.post(
    "/upload/image",
    summary="Upload an input file",
    response_model=dict[str, str],
    responses=errors(400, 401, 403, 413, 415, 422),
    openapi_extra=form_body(("image",), **FIELDS),
)
async def upload_image(request: Request, owner: ActingOwner, known: InContext) -> JsonResponse:
    """As ComfyUI's. The same name and content give the same file, other content "x (1).png"."""
    uploads = known.service.stores.uploads
    async with read_form(request, uploads.limits.most_bytes + FORM_BYTES) as form:
        place, content = await _file(form)
        overwrite = text_field(form, "overwrite") in {"true", "1"}
    return _placed(await uploads.save(owner, place, content, overwrite=overwrite))


@router.post(
    "/upload/mask",
    summary="Upload a mask drawn on an image",
    response_model=dict[str, str],
    responses=errors(400, 401, 403, 413, 415, 422),
    openapi_extra=form_body(("image", "original_ref"), **FIELDS, original_ref=ORIGINAL),
)
async def upload_mask(request: Request, owner: ActingOwner, known: InContext) -> JsonResponse:
    """As ComfyUI's: saves the original picture with the alpha of the uploaded one."""
    uploads = known.service.stores.uploads
    async with read_form(request, uploads.limits.most_bytes + FORM_BYTES) as form:
        place, content = await _file(form)
        original = _original(text_field(form, "original_ref"))
    return _placed(await uploads.save_mask(owner, place, content, original))


@router.get(
    "/view",
    summary="An uploaded or saved file",
    response_class=Response,
    responses=errors(400, 401, 403, 404, 422),
)
async def view(
    *,
    owner: Owner,
    known: InContext,
    filename: str,
    type: UploadType = "output",
    subfolder: str = "",
    preview: Annotated[str, Query(description="webp;90 or jpeg;90")] = "",
    channel: Annotated[str, Query(description="rgba, rgb or a")] = "",
) -> Response:
    """As ComfyUI's. A saved file is named as its job named it; the newest job has the name."""
    uploads = known.service.stores.uploads
    name, type_ = annotated(filename, type)
    place = Place(relative_name(name), subfolder, type_)
    try:
        path = await asyncio.to_thread(uploads.find_place, owner, place)
    except MissingInputError as error:
        raise MissingFileError(place.path[:200]) from error
    if preview or channel in {"rgb", "a"}:
        return await asyncio.to_thread(_repainted, uploads, path, preview, channel)
    return _sent(path)


@router.get(
    "/outputs/{path:path}",
    summary="An output by its signed URL",
    response_class=FileResponse,
    responses=errors(403, 404),
)
async def output(path: str, known: InContext, expires: int = 0, signature: str = "") -> Response:
    """The URLs in answers lead here; they need no key and expire."""
    return _sent(known.service.stores.outputs.signed_path(path, expires, signature))


async def _file(form: FormData) -> tuple[Place, bytes]:
    """The uploaded file and where it is to go."""
    image = form.get("image")
    if not isinstance(image, UploadFile) or not image.filename:
        raise one_field("image", "a file with a name", None)
    place = _place(image.filename, text_field(form, "subfolder"), text_field(form, "type"))
    return place, await image.read()


def _place(name: str, subfolder: str | None, type_: str | None) -> Place:
    known = type_ or "input"
    if known not in get_args(UploadType):
        raise one_field("type", f"one of {', '.join(get_args(UploadType))}", known)
    if PurePosixPath(name).name != name:
        raise UnsafePathError(name[:80], "a file name has no folders; use `subfolder`")
    return Place(name, subfolder or "", cast(UploadType, known))


def _original(text: str | None) -> Place:
    """The picture that a mask was drawn on."""
    expected = 'JSON like {"filename": "x.png", "subfolder": "", "type": "input"}'
    try:
        reference = json.loads(text or "")
        name, type_ = annotated(reference["filename"], reference.get("type", "output"))
        return _place(name, reference.get("subfolder"), type_)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise one_field("original_ref", expected, text) from error


def _placed(place: Place) -> JsonResponse:
    return JsonResponse({"name": place.name, "subfolder": place.subfolder, "type": place.type})


def _wanted(preview: str, channel: str) -> tuple[str, int]:
    """Format and quality of "jpeg;80"; what has an alpha cannot be JPEG."""
    format_, _, quality = preview.partition(";")
    if not preview:
        format_ = "png"
    elif format_ != "jpeg" or "a" in channel:
        format_ = "webp"
    return format_, int(quality) if quality.isdecimal() else DEFAULT_QUALITY


def _repainted(uploads: Uploads, path: Path, preview: str, channel: str) -> Response:
    format_, quality = _wanted(preview, channel)
    with uploads.open_picture(path.name, path.read_bytes()) as picture:
        content = repaint(picture, format_, channel, min(quality, 100))
    kind = f"image/{format_}"
    return Response(content, media_type=kind, headers=_headers(path, kind))


def _sent(path: Path) -> FileResponse:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return FileResponse(path, media_type=kind, headers=_headers(path, kind))


def _headers(path: Path, kind: str) -> dict[str, str]:
    shown = kind.startswith(SHOWN) and "svg" not in kind
    name = quote(path.name)
    disposition = f"{'inline' if shown else 'attachment'}; filename*=utf-8''{name}"
    return NO_SNIFFING | {"Content-Disposition": disposition}
