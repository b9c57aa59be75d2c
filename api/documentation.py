"""Parts of the OpenAPI document that FastAPI cannot derive from signatures."""

from collections.abc import Mapping
from typing import Any

from api.error_examples import ERROR_EXAMPLES
from api.errors import error_body
from api.schemas import Error

MEANINGS: Mapping[int, str] = {
    400: "Not JSON, or not an object",
    401: "The key is wrong or missing",
    402: "The key's budget is spent",
    403: "Not yours to do, or a link that has expired",
    404: "No such thing; another owner's job is also 404",
    409: "It does not go with what was there before",
    413: "Over a size limit",
    415: "Unsupported media type",
    416: "No byte of the file is in the range that was asked for",
    422: "The request cannot be done: every problem at once",
    429: "Over the rate or queue limit of this key; see Retry-After",
    500: "A fault of ours, with an error id",
    501: "A part of the hosted API that is not served here",
    503: "The service is full and accepted nothing; see Retry-After",
}
RETRY_AFTER = {"description": "Seconds", "schema": {"type": "integer", "minimum": 1}}
HEADERS: Mapping[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"schema": {"const": "Bearer"}}},
    429: {"Retry-After": RETRY_AFTER},
    503: {"Retry-After": RETRY_AFTER},
}
BINARY = {"schema": {"type": "string", "format": "binary"}}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route that answers errors with these statuses, and 500."""
    return {status: _error(status) | {"model": Error} for status in (*statuses, 500)}


def error_response(status: int) -> dict[str, Any]:
    """One entry of a document's `responses`."""
    said = _error(status)
    said["content"]["application/json"]["schema"] = {"$ref": "#/components/schemas/Error"}
    return said


def json_body(
    schema: Mapping[str, Any],
    example: Mapping[str, Any] | None = None,
    *,
    required: bool = True,
) -> dict[str, Any]:
    """`openapi_extra` of a route that reads its JSON body itself."""
    content: dict[str, Any] = {"schema": dict(schema)}
    if example is not None:
        content["example"] = dict(example)
    return {"requestBody": {"required": required, "content": {"application/json": content}}}


def form_body(required: tuple[str, ...], **fields: Mapping[str, Any]) -> dict[str, Any]:
    """`openapi_extra` of a route that reads a multipart form."""
    schema = {"type": "object", "required": list(required), "properties": fields}
    content = {"multipart/form-data": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


def content(*media_types: str, description: str = "Successful Response") -> dict[str, Any]:
    """The entry of an answer that is a file of one of these types."""
    return {"description": description, "content": {one: dict(BINARY) for one in media_types}}


def _error(status: int) -> dict[str, Any]:
    example = error_body(ERROR_EXAMPLES[status])
    headers = {"headers": HEADERS[status]} if status in HEADERS else {}
    return {
        "description": MEANINGS[status],
        "content": {"application/json": {"example": example}},
        **headers,
    }
