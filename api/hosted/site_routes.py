"""Hosted-API routes about the service: its models, and the number of requests in progress."""

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from api.context import Call, context, read_job_id
from api.documentation import errors, json_body
from api.hosted.catalog import Catalog, stem
from api.hosted.execution import open_bench
from api.hosted.fields import HostedRequest, Id
from api.hosted.problems import ModelNotFoundError
from api.hosted.route import HostedActing, HostedReading, HostedRoute
from api.json_response import JsonResponse
from storage.jobs.records import JobFilter, JobStatus

MOST_COUNTED = 1000
ERRORS = (400, 401, 403, 413, 415, 429)

router = APIRouter(tags=["hosted"], route_class=HostedRoute)


class OnlyKey(HostedRequest):
    """Nothing but the key, which may be in a header too."""


class Reload(HostedRequest):
    """A model to make ready."""

    model_id: Id = Field(description="A checkpoint's file name or an alias.")


class Deletion(HostedRequest):
    """A request whose pictures are to go."""

    request_id: Id = Field(description="The `id` of the answer to the request.")


class ListedModel(BaseModel):
    """A checkpoint, by the name to use as `model_id`."""

    model_id: str
    status: Literal["model_ready"]
    created_at: str | None
    instance_prompt: str | None
    model_name: str
    description: str
    screenshots: str


class Count(BaseModel):
    """How many of the caller's requests wait or run."""

    status: Literal["success"]
    processing_count: int
    message: str


class Load(BaseModel):
    """How many of the caller's requests wait."""

    queue_num: int
    queue_time: float
    status: Literal["ok"]


class Said(BaseModel):
    """It is done."""

    status: Literal["success"]
    message: str
    messege: str


@router.post(
    "/api/v4/dreambooth/model_list",
    summary="Models that model_id may name",
    response_model=list[ListedModel],
    responses=errors(*ERRORS),
    openapi_extra=json_body(OnlyKey.model_json_schema(), required=False),
)
async def model_list(request: Request, call: HostedReading) -> JsonResponse:
    """Checkpoints by their names without endings, and the aliases of the site."""
    catalog = (await open_bench(request, call.owner)).catalog
    files = {stem(file): file for file in catalog.files("checkpoints")}
    named = files | dict(catalog.aliases("checkpoints"))
    return JsonResponse([_listed(name, file) for name, file in named.items()])


@router.post(
    "/api/v6/processing/request_count",
    summary="How many of your requests are in the works",
    response_model=Count,
    responses=errors(*ERRORS),
    openapi_extra=json_body(OnlyKey.model_json_schema(), required=False),
)
@router.get(
    "/api/v6/processing/request_count",
    summary="How many of your requests are in the works",
    response_model=Count,
    responses=errors(*ERRORS),
)
async def request_count(request: Request, call: HostedReading) -> JsonResponse:
    """Those that wait and those that run."""
    count = await _jobs(request, call, "queued") + await _jobs(request, call, "running")
    message = "Current processing request count retrieved successfully"
    return JsonResponse({"status": "success", "processing_count": count, "message": message})


@router.post(
    "/api/v3/system_load",
    summary="How many of your requests wait",
    response_model=Load,
    responses=errors(*ERRORS),
    openapi_extra=json_body(OnlyKey.model_json_schema(), required=False),
)
async def system_load(request: Request, call: HostedReading) -> JsonResponse:
    """`queue_time` is always 0: each job's own answer has its `eta`."""
    waiting = await _jobs(request, call, "queued")
    return JsonResponse({"queue_num": waiting, "queue_time": 0, "status": "ok"})


@router.post(
    "/api/v6/images/model_reload",
    summary="See that a model can be used",
    response_model=Said,
    responses=errors(*ERRORS),
    openapi_extra=json_body(Reload.model_json_schema()),
)
@router.post(
    "/api/v4/dreambooth/model_reload",
    summary="See that a model can be used",
    response_model=Said,
    responses=errors(*ERRORS),
    openapi_extra=json_body(Reload.model_json_schema()),
    deprecated=True,
)
async def model_reload(request: Request, call: HostedReading) -> JsonResponse:
    """Models are loaded when they are used, so there is nothing to wait for."""
    name = Reload.read(call.body).model_id
    file = _found((await open_bench(request, call.owner)).catalog, name)
    message = f"{file} is ready"
    return JsonResponse({"status": "success", "message": message, "messege": message})


@router.post(
    "/api/v3/delete_image",
    summary="Delete a request and its pictures",
    response_model=Said,
    responses=errors(*ERRORS, 404),
    openapi_extra=json_body(Deletion.model_json_schema()),
)
async def delete_image(request: Request, call: HostedActing) -> JsonResponse:
    """Stops it too, if it still runs."""
    job = read_job_id(Deletion.read(call.body).request_id)
    await context(request).service.delete(call.owner, job)
    message = "image deleted"
    return JsonResponse({"status": "success", "message": message, "messege": message})


def _found(catalog: Catalog, name: str) -> str:
    file = catalog.find("checkpoints", name)
    if file not in catalog.files("checkpoints"):
        raise ModelNotFoundError(name[:200], "checkpoints")
    return file


def _listed(name: str, file: str) -> dict[str, Any]:
    return {
        "model_id": name,
        "status": "model_ready",
        "created_at": None,
        "instance_prompt": None,
        "model_name": name,
        "description": file,
        "screenshots": "",
    }


async def _jobs(request: Request, call: Call, status: JobStatus) -> int:
    which = JobFilter(status, limit=MOST_COUNTED)
    page = await context(request).service.jobs(call.owner, which)
    return len(page["jobs"])
