"""File routes: ComfyUI's /upload/image, /upload/mask and /view, and signed output URLs."""

import asyncio
from functools import partial
from pathlib import PurePosixPath
from typing import Annotated, Any, cast, get_args

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from starlette.datastructures import FormData, UploadFile

from api.bodies import read_form, text_field
from api.context import ActingEditorOwner, EditorOwner, InContext
from api.documentation import content, errors, form_body
from api.errors import BadFileRequestError, one_field
from api.file_response import file_response, headers
from api.json_response import JsonResponse
from storage.files import MissingFileError, StoredFile, read
from storage.paths import UnsafePathError, relative_name
from storage.picture_processes.pool import Painting
from storage.pictures import ImageFormat
from storage.uploads import (
    MissingInputError,
    Place,
    Uploads,
    UploadTooLargeError,
    UploadType,
    annotated,
)

FORM_BYTES = 1024 * 1024  # what the fields beside the file may take
FIELDS: dict[str, dict[str, Any]] = {
    "image": {"type": "string", "format": "binary"},
    "type": {"enum": list(get_args(UploadType)), "default": "input"},
    "subfolder": {"type": "string", "default": ""},
    "overwrite": {"type": "string", "default": "false", "description": "true or 1: replace it."},
}
TYPES: JsonDict = {"enum": list(get_args(UploadType))}
ORIGINAL = {"type": "string", "description": 'JSON: {"filename", "subfolder", "type"}'}

PART = content("*/*", description="The part of the file that `Range` asks for")
SAME = {"description": "The caller has the file already, by `If-None-Match`"}
DEFAULT_QUALITY = 90
LONGEST_QUALITY = 9  # digits

router = APIRouter(tags=["files"])


@router.post(
    "/upload/image",
    summary="Upload an input file",
    response_model=dict[str, str],
    responses=errors(400, 401, 403, 413, 415, 422, 429, 503),
    openapi_extra=form_body(("image",), **FIELDS),
)
async def upload_image(
    request: Request, owner: ActingEditorOwner, known: InContext
) -> JsonResponse:
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
    responses=errors(400, 401, 403, 413, 415, 422, 429, 503),
    openapi_extra=form_body(("image", "original_ref"), **FIELDS, original_ref=ORIGINAL),
)
async def upload_mask(request: Request, owner: ActingEditorOwner, known: InContext) -> JsonResponse:
    """As ComfyUI's: saves the original picture with the alpha of the uploaded one."""
    uploads = known.service.stores.uploads
    async with read_form(request, uploads.limits.most_bytes + FORM_BYTES) as form:
        place, content = await _file(form)
        original = _original(text_field(form, "original_ref"))
    return _placed(await uploads.save_mask(owner, place, content, original))


@router.head("/view", include_in_schema=False)
@router.get(
    "/view",
    summary="An uploaded or saved file",
    response_class=Response,
    responses={
        200: content("*/*"),
        206: PART,
        304: SAME,
        **errors(400, 404, 413, 416, 422, 429, 503),
    },
)
async def view(
    *,
    request: Request,
    owner: EditorOwner,
    known: InContext,
    filename: Annotated[str, Query(description="Also as `name [input]`")] = "",
    type: Annotated[str, Query(json_schema_extra=TYPES)] = "output",
    subfolder: str = "",
    preview: Annotated[str, Query(description="webp;90 or jpeg;90")] = "",
    channel: Annotated[str, Query(description="rgba, rgb or a")] = "",
) -> Response:
    """As ComfyUI's. A saved file is named as its job named it; the newest job has the name."""
    uploads = known.service.stores.uploads
    if not filename:
        raise bad_field("filename", "the name of a file", filename)
    name, type_ = annotated(filename, _type(type))
    place = Place(relative_name(name), subfolder, type_)
    try:
        file = await uploads.find(owner, place)
    except MissingInputError as error:
        raise MissingFileError(place.path[:200]) from error
    if painting := _painting(preview, channel):
        return await _repainted(uploads, owner, file, painting)
    body = request.method != "HEAD"
    return await file_response(uploads.files, file, request.headers, body=body)


@router.head("/outputs/{path:path}", include_in_schema=False)
@router.get(
    "/outputs/{path:path}",
    summary="An output by its signed URL",
    response_class=Response,
    responses={200: content("*/*"), 206: PART, 304: SAME, **errors(400, 403, 404, 416)},
)
async def output(
    path: str, request: Request, known: InContext, expires: int = 0, signature: str = ""
) -> Response:
    """The URLs in answers lead here; they need no key and expire. Parts of a file by `Range`."""
    outputs = known.service.stores.outputs
    file = await asyncio.to_thread(outputs.signed, path, expires, signature)
    body = request.method != "HEAD"
    return await file_response(outputs.files, file, request.headers, body=body)


def bad_field(name: str, expected: str, received: Any) -> BadFileRequestError:
    """A single wrong field of a request for a file."""
    found = one_field(name, expected, received)
    return BadFileRequestError(found.problem, found.errors)


class OriginalReference(BaseModel):
    """The file that a mask was drawn on, as ComfyUI's editor names it."""

    model_config = ConfigDict(strict=True)

    filename: str = Field(min_length=1)
    subfolder: str | None = None
    type: UploadType = "output"


async def _file(form: FormData) -> tuple[Place, bytes]:
    """The uploaded file and where it is to go."""
    image = form.get("image")
    if not isinstance(image, UploadFile) or not image.filename:
        raise bad_field("image", "a file with a name", None)
    place = _place(image.filename, text_field(form, "subfolder"), text_field(form, "type"))
    return place, await image.read()


def _place(name: str, subfolder: str | None, type_: str | None) -> Place:
    known = _type(type_ or "input")
    if PurePosixPath(name).name != name:
        raise UnsafePathError(name[:80], "a file name has no folders; use `subfolder`")
    return Place(name, subfolder or "", known)


def _type(sent: str) -> UploadType:
    if sent not in get_args(UploadType):
        raise bad_field("type", f"one of {', '.join(get_args(UploadType))}", sent[:80])
    return cast(UploadType, sent)


def _original(text: str | None) -> Place:
    """The picture that a mask was drawn on."""
    expected = 'JSON like {"filename": "x.png", "subfolder": "", "type": "input"}'
    try:
        reference = OriginalReference.model_validate_json(text or "")
    except ValueError as error:  # ValidationError is one
        raise bad_field("original_ref", expected, (text or "")[:200]) from error
    name, type_ = annotated(reference.filename, reference.type)
    return _place(name, reference.subfolder, type_)


def _placed(place: Place) -> JsonResponse:
    return JsonResponse({"name": place.name, "subfolder": place.subfolder, "type": place.type})


def _painting(preview: str, channel: str) -> Painting | None:
    """What "jpeg;80" asks for; what has an alpha cannot be JPEG. None: the file as it is."""
    kind, _, quality = preview.partition(";")
    known = quality.isascii() and quality.isdecimal() and len(quality) <= LONGEST_QUALITY
    level = min(int(quality), 100) if known else DEFAULT_QUALITY
    if preview:
        format_: ImageFormat = "jpeg" if kind == "jpeg" and "a" not in channel else "webp"
        return Painting(format_, channel, level, shrink=True)
    return Painting("png", channel, level, shrink=False) if channel in {"rgb", "a"} else None


async def _repainted(
    uploads: Uploads, owner: str, file: StoredFile, painting: Painting
) -> Response:
    if file.size > uploads.limits.most_bytes:
        raise UploadTooLargeError(file.key[-200:], uploads.limits.most_bytes)
    content = partial(read, uploads.files, file.key)
    painted = await uploads.pictures.repaint(owner, file, content, painting)
    kind = {"Content-Type": f"image/{painting.format}"}
    return Response(painted, headers=headers(file.key) | kind)
