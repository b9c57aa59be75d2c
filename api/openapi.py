"""Completes FastAPI's OpenAPI document with errors, keys and ids.

FastAPI sees neither what all routes with a key may answer, nor that errors have one shape, nor
which answers hold the ids that other routes take.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from api.documentation import error_response
from api.jobs.answers import API

KEYED = (400, 401, 403, 413, 429, 500)  # 400 and 413: a key may be in a JSON body
HOSTED = "hosted"
FASTAPIS_OWN = ("HTTPValidationError", "ValidationError")
MODELS, KEYS = "/api/v7/models", "/api/v7/admin/keys"
JOB_ROUTES = (
    f"{API}/fetch/{{job_id}}",
    f"{API}/events/{{job_id}}",
    f"{API}/cancel/{{job_id}}",
    f"{API}/jobs/{{job_id}}",
    f"{API}/jobs/{{job_id}}/deliveries",
    f"{API}/jobs/{{job_id}}/timeline.svg",
)
UPLOAD_ROUTES = (f"{MODELS}/uploads/{{upload_id}}", f"{MODELS}/uploads/{{upload_id}}/complete")

Operation = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """An answer that holds an id, and the routes that take it."""

    method: str
    path: str
    status: str
    where: str  # in the answer's body
    parameter: str
    takers: tuple[str, ...]


SOURCES = (
    Source("post", f"{API}/execute", "200", "/id", "job_id", JOB_ROUTES),
    Source("post", f"{MODELS}/uploads", "201", "/upload/id", "upload_id", UPLOAD_ROUTES),
    Source("post", MODELS, "201", "/model/id", "model_id", (f"{MODELS}/{{model_id}}",)),
    Source("post", KEYS, "201", "/api_key/id", "key_id", (f"{KEYS}/{{key_id}}",)),
)


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with every answer that may come."""
    paths = document["paths"]
    for operation in _operations(paths):
        _complete_errors(operation)
    for source in SOURCES:
        found = paths[source.path][source.method]["responses"][source.status]
        found["links"] = dict(_links(source, paths))
    for schema in FASTAPIS_OWN:
        document["components"]["schemas"].pop(schema, None)
    return document


def _operations(paths: Mapping[str, Any]) -> Iterator[Operation]:
    for of_path in paths.values():
        yield from of_path.values()


def _complete_errors(operation: Operation) -> None:
    responses = operation["responses"]
    if _is_fastapis_own(responses.get("422")):
        del responses["422"]
        if HOSTED not in operation["tags"] and _may_be_invalid(operation):
            responses["422"] = error_response(422)
    if "security" in operation:
        for status in KEYED:
            responses.setdefault(str(status), error_response(status))
    operation["responses"] = dict(sorted(responses.items()))


def _is_fastapis_own(response: Mapping[str, Any] | None) -> bool:
    return response is not None and FASTAPIS_OWN[0] in str(response)


def _may_be_invalid(operation: Operation) -> bool:
    """Whether a parameter can be wrong: one that is in a path is text, and any text will do."""
    return any(
        one["in"] != "path" or "pattern" in one["schema"] for one in operation.get("parameters", ())
    )


def _links(source: Source, paths: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    value = f"$response.body#{source.where}"
    for path in source.takers:
        for method, operation in paths[path].items():
            link = {
                "operationId": operation["operationId"],
                "parameters": {source.parameter: value},
            }
            yield f"{method} {path}", link
