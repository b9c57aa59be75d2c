"""/api/v2/assets: files to use in workflows, and those that jobs saved."""

import time
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from starlette.datastructures import UploadFile

from api.bodies import read_form, text_field
from api.comfyui.v2.output_assets import asset_json, file_of, find_output, job_of
from api.comfyui.v2.problems import problem, problem_response
from api.context import ActingCall, ActingOwner, BaseUrl, Context, InContext, Owner
from api.file_response import file_response
from api.jobs.answers import iso
from api.json_response import JsonResponse
from graph.digits import whole_number
from graph.errors import ServiceError
from graph.shown import shown_value
from storage.assets import HASH, LONGEST_PATH, LONGEST_TYPE, Asset, Described, MissingBlobError
from storage.files import Files, StoredFile

PLACE = "/api/v2/assets"
FORM_BYTES = 1024 * 1024
ANY_TYPE = "application/octet-stream"
SHORTEST_S, LONGEST_S = 60, 604_800
DIGITS = 6
AssetId = Annotated[str, Path(max_length=200)]

router = APIRouter(prefix=PLACE, tags=["comfyui"], include_in_schema=False)


@router.post("", status_code=201)
async def upload(
    request: Request, owner: ActingOwner, known: InContext, base_url: BaseUrl
) -> JsonResponse:
    """A new asset; 200 where its bytes were there already."""
    stores = known.service.stores
    try:
        most = stores.uploads.limits.most_bytes + FORM_BYTES
        async with read_form(request, most) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                return _refused("file", "a file", None)
            fields = {name: value for name, value in form.items() if isinstance(value, str)}
            fields.setdefault("content_type", file.content_type or ANY_TYPE)
            fields.setdefault("file_path", file.filename or "")
            described = _described(known, fields)
            if isinstance(described, JsonResponse):
                return described
            content, expected = await file.read(), text_field(form, "expected_hash")
        asset, new = await stores.assets.add(owner, content, described, expected)
    except ServiceError as error:
        return problem_response(error)
    return JsonResponse(_asset_json(asset, base_url, new=new), 201 if new else 200)


@router.post("/from-hash")
async def from_hash(call: ActingCall, known: InContext, base_url: BaseUrl) -> JsonResponse:
    """A new asset of bytes that the owner has already."""
    hash_ = call.body.get("hash")
    if not isinstance(hash_, str):
        return _refused("hash", f"{HASH}<hex>", hash_)
    described = _described(known, {"file_path": "file", **call.body})
    if isinstance(described, JsonResponse):
        return described
    try:
        asset = await known.service.stores.assets.again(call.owner, hash_, described)
    except ServiceError as error:
        return problem_response(error)
    return JsonResponse(_asset_json(asset, base_url, new=False))


@router.head("/by-hash/{hash_}")
@router.get("/by-hash/{hash_}")
async def by_hash(hash_: AssetId, owner: Owner, known: InContext) -> Response:
    """Whether the owner has these bytes."""
    found = await known.service.stores.assets.by_hash(owner, hash_.removeprefix(HASH))
    return Response() if found else problem_response(MissingBlobError(hash_[:100]))


@router.get("/{asset_id}")
async def asset(
    asset_id: AssetId, owner: Owner, known: InContext, base_url: BaseUrl
) -> JsonResponse:
    """An upload, or an output of a job."""
    stores = known.service.stores
    try:
        if job_of(asset_id) is None:
            found = await stores.assets.find(owner, asset_id)
            return JsonResponse(_asset_json(found, base_url))
        record, location = await find_output(stores.jobs, stores.outputs, owner, asset_id)
        file = await file_of(stores.outputs, record, location)
    except ServiceError as error:
        return problem_response(error)
    url = stores.outputs.url_at(owner, record.id, location, base_url)
    return JsonResponse(dict(asset_json(record, asset_id, file, url, time.time())))


@router.head("/{asset_id}/content")
@router.get("/{asset_id}/content")
async def content(asset_id: AssetId, request: Request, owner: Owner, known: InContext) -> Response:
    """The bytes; parts of them by Range."""
    try:
        files, file = await _file(known, owner, asset_id)
        return await file_response(files, file, request.headers, body=request.method != "HEAD")
    except ServiceError as error:
        return problem_response(error)


@router.delete("/{asset_id}", status_code=204)
async def delete(asset_id: AssetId, owner: ActingOwner, known: InContext) -> Response:
    """An upload alone: outputs go with their jobs."""
    try:
        if job_of(asset_id) is not None:
            await _file(known, owner, asset_id)
            return problem("invalid_request", "An output goes with its job; delete that.", 422)
        await known.service.stores.assets.delete(owner, asset_id)
    except ServiceError as error:
        return problem_response(error)
    return Response(status_code=204)


async def _file(known: Context, owner: str, asset_id: str) -> tuple[Files, StoredFile]:
    stores = known.service.stores
    if job_of(asset_id) is None:
        found = await stores.assets.find(owner, asset_id)
        return stores.uploads.files, await stores.assets.file(found)
    record, location = await find_output(stores.jobs, stores.outputs, owner, asset_id)
    return stores.outputs.files, await file_of(stores.outputs, record, location)


def _described(known: Context, fields: Mapping[str, Any]) -> Described | JsonResponse:
    """What a caller says of an asset, or why it cannot be."""
    kept_s = known.service.stores.uploads.limits.kept_s
    for name, most in (("file_path", LONGEST_PATH), ("content_type", LONGEST_TYPE)):
        value = fields.get(name, ANY_TYPE)
        if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= most:
            return _refused(name, f"a text of 1 to {most} characters", value)
    if (sent := fields.get("expires_in")) is not None:
        wanted_s = whole_number(str(sent), DIGITS)
        if wanted_s is None or not SHORTEST_S <= wanted_s <= LONGEST_S:
            return _refused("expires_in", f"{SHORTEST_S} to {LONGEST_S} seconds", sent)
        kept_s = min(kept_s, float(wanted_s))
    return Described(fields["file_path"], fields.get("content_type", ANY_TYPE), kept_s)


def _asset_json(asset: Asset, base_url: str, *, new: bool | None = None) -> dict[str, Any]:
    created = {} if new is None else {"created_new": new}
    return {
        "id": asset.id,
        "hash": f"{HASH}{asset.hash}",
        "size_bytes": asset.size,
        "content_type": asset.content_type,
        "file_path": asset.file_path,
        **created,
        "created_at": iso(asset.created_s),
        "url": f"{base_url}{PLACE}/{asset.id}/content",
        "url_expires_at": iso(asset.expires_s),
        "expires_at": iso(asset.expires_s),
    }


def _refused(name: str, expected: str, received: Any) -> JsonResponse:
    said = f"{name} must be {expected}."
    return problem("invalid_request", said, 422, {"field": name, "received": shown_value(received)})
