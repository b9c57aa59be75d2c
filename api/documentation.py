"""Pieces of the OpenAPI document that FastAPI cannot read off a signature."""

from collections.abc import Mapping
from typing import Any

from api.schemas import Error

MEANINGS: Mapping[int, str] = {
    400: "Not JSON, or not an object",
    401: "The key is wrong or missing",
    402: "The key's budget is spent",
    403: "Not yours to do, or a link that has expired",
    404: "No such thing; another owner's job is also 404",
    409: "The idempotency key came with another body before",
    413: "Over a size limit",
    415: "Unsupported media type",
    416: "No byte of the file is in the range that was asked for",
    422: "The request cannot be done: every problem at once",
    429: "Over the rate or queue limit of this key; see Retry-After",
    500: "A fault of ours, with an error id",
    501: "A part of the hosted API that is not served here",
    503: "The service is full and accepted nothing; see Retry-After",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route that answers errors with these statuses, and 500."""
    return {
        status: {"model": Error, "description": MEANINGS[status]} for status in (*statuses, 500)
    }


def json_body(schema: Mapping[str, Any]) -> dict[str, Any]:
    """`openapi_extra` of a route that reads its JSON body itself."""
    content = {"application/json": {"schema": dict(schema)}}
    return {"requestBody": {"required": True, "content": content}}


def form_body(required: tuple[str, ...], **fields: Mapping[str, Any]) -> dict[str, Any]:
    """`openapi_extra` of a route that reads a multipart form."""
    schema = {"type": "object", "required": list(required), "properties": fields}
    content = {"multipart/form-data": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}
