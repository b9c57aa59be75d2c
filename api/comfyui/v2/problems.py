"""Errors in API v2's shape."""

from collections.abc import Mapping
from typing import Any

from api.errors import error_headers
from api.json_response import JsonResponse
from graph.errors import ServiceError
from graph.shown import shown_text

CODES: Mapping[int, str] = {402: "insufficient_credits", 404: "not_found", 413: "too_large"}
OWN = frozenset({"asset_not_found", "blob_not_found"})  # codes that are API v2's own
FULL: Mapping[str, str] = {"queue_limit": "queue_full", "service_full": "queue_full"}


def problem_response(error: ServiceError) -> JsonResponse:
    """An error of the service."""
    code = FULL.get(error.code) or CODES.get(error.status, error.code)
    code = error.code if error.code in OWN else code
    status = 429 if code == "queue_full" else error.status
    return problem(code, shown_text(str(error), 500), status, headers=error_headers(error))


def problem(
    code: str,
    message: str,
    status: int,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JsonResponse:
    """Any other error."""
    said = {"code": code, "message": message} | ({"details": details} if details else {})
    return JsonResponse({"error": said}, status, dict(headers or {}))
