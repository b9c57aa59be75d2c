"""The tasks that a large-request process can do."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from api.comfyui.prompt_errors import node_errors, problem_bodies, refused, refused_status
from api.comfyui.prompt_request import PromptRefused, PromptRequest, read_prompt
from api.errors import BodyError, error_headers
from api.jobs.estimates import steps_by_class
from api.jobs.request_reader import RequestReader, hash_of
from api.jobs.runner import Prepared
from api.json_reading import BodyLimits, checked_value
from api.json_response import JsonResponse
from api.large_requests import ReadPrompt, ReadRequest, RefusedError, Rendered
from api.schemas import ExecuteRequest
from api.workflow_bodies import CONVERT_FIELDS, SCHEMA_FIELDS, read_only, with_workflow
from deployments.large_requests.setup import Task
from deployments.large_requests.wire import written
from deployments.reader import WorkflowReader
from graph.errors import ServiceError
from graph.shown import json_kind

CheckUrl = Callable[[str], Awaitable[object]]


async def done(task: Task, reader: WorkflowReader, check_url: CheckUrl, limits: BodyLimits) -> Any:
    """What a task gives.

    Raises:
        RefusedError: its answer is an error.
        ServiceError: why a stored request cannot run.
    """
    try:
        work = partial(TASKS[task.name], task, reader, RequestReader(reader.prepare, check_url))
        return await work(body_of(task.raw, limits))
    except ServiceError as error:
        if task.name == "opened":
            raise
        raise RefusedError(Rendered.of_error(error)) from error


def body_of(raw: bytes, limits: BodyLimits) -> dict[str, Any]:
    """The object in a body. Nobody waits for this process's interpreter: the fast reader reads."""
    try:
        body = checked_value(raw, limits, json.loads)
    except (ValueError, RecursionError) as error:
        raise BodyError(str(error)) from error
    if not isinstance(body, dict):
        raise BodyError(json_kind(body))
    return body


async def execute(
    task: Task, _: WorkflowReader, requests: RequestReader, body: dict[str, Any]
) -> ReadRequest:
    """See LargeRequests."""
    body = with_workflow({name: value for name, value in body.items() if name != "key"})
    if task.how["asynchronous"]:
        body["wait"] = 0
    body_hash = hash_of(body) if task.how["hashed"] else None
    try:
        request = await requests.request(task.owner, body)
        prepared = await requests.prepared(task.owner, request, body)
    except ServiceError as error:
        raise RefusedError(Rendered.of_error(error), body_hash) from error
    if request.dry_run:
        answer = {"status": "success", "dry_run": True, "meta": prepared.meta}
        answer |= {**prepared.quote, "skipped": list(prepared.skipped)}
        return ReadRequest(bare(request), facts(prepared), answer=json_of(answer))
    stored = json.dumps(body).encode()
    return ReadRequest(bare(request), facts(prepared), stored, body_hash)


async def prompt(
    task: Task, reader: WorkflowReader, requests: RequestReader, body: dict[str, Any]
) -> ReadPrompt:
    """See LargeRequests."""
    try:
        sent = read_prompt({name: value for name, value in body.items() if name != "key"})
    except PromptRefused as why:
        raise RefusedError(Rendered.of(why.body, 400)) from why
    info = await reader.object_info(task.owner)
    kept = sent.body(retain_inputs=task.how["retain_inputs"])
    try:
        request = ExecuteRequest.read(kept)
        prepared = await requests.prepared(task.owner, request, kept)
    except ServiceError as error:
        raise RefusedError(_refused(error, sent, info)) from error
    found = node_errors(problem_bodies(prepared.skipped), sent.prompt, info)
    stored = json.dumps({**kept, "outputs": list(prepared.output_ids)}).encode()
    read = ReadRequest(bare(request), facts(prepared), stored)
    return ReadPrompt(read, sent.how_posted, json_of(found))


def _refused(error: ServiceError, sent: PromptRequest, info: Mapping[str, Any]) -> Rendered:
    answer = Rendered.of(refused(error, sent.prompt, info), refused_status(error))
    return replace(answer, headers=error_headers(error))


async def schema(
    task: Task, reader: WorkflowReader, _: RequestReader, body: dict[str, Any]
) -> Rendered:
    """See LargeRequests."""
    return await _read(body, SCHEMA_FIELDS, partial(reader.schema, task.owner))


async def convert(
    task: Task, reader: WorkflowReader, _: RequestReader, body: dict[str, Any]
) -> Rendered:
    """See LargeRequests."""
    return await _read(body, CONVERT_FIELDS, partial(reader.convert, task.owner))


async def _read(body: Mapping[str, Any], fields: tuple[str, ...], read: Any) -> Rendered:
    given = {name: value for name, value in body.items() if name != "key"}
    return Rendered.of(await read_only(given, fields, read))


async def opened(
    task: Task, reader: WorkflowReader, _: RequestReader, body: dict[str, Any]
) -> bytes:
    """A stored request and its plan, for `Unplanned`."""
    return written((body, await reader.prepare(task.owner, body)), reader.node_types)


TASKS: Mapping[str, Callable[..., Awaitable[Any]]] = {
    "execute": execute,
    "prompt": prompt,
    "schema": schema,
    "convert": convert,
    "opened": opened,
}


def bare(request: ExecuteRequest) -> ExecuteRequest:
    """A request without what is large in it."""
    return request.model_copy(update={"workflow": {}, "inputs": {}})


def facts(prepared: Prepared) -> Prepared:
    """What is to be known of a workflow that is not here."""
    return Prepared(
        {},
        skipped=prepared.skipped,
        outputs=prepared.outputs,
        output_ids=prepared.output_ids,
        steps=steps_by_class(prepared.prompt),
    )


def json_of(value: Any) -> bytes:
    return bytes(JsonResponse(value).body)
