"""Request errors in the wording and with the status codes of the hosted API."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.errors import InvalidFieldsError
from graph.errors import ServiceError
from graph.shown import json_kind


@dataclass(eq=False)
class HostedFieldsError(InvalidFieldsError):
    """Fields with wrong values, or missing ones."""

    status = 400
    template = "{problem}"


@dataclass(eq=False)
class ModelNotFoundError(ServiceError):
    """A model of which there is no file, under any of its names."""

    status = 400
    code = "model_not_found"
    template = "Model not found: {name}"
    name: str
    folder: str


@dataclass(eq=False)
class NotServedError(ServiceError):
    """A part of the hosted API that is not here."""

    status = 501
    code = "not_served"
    template = "{what} is not served here."
    what: str


@dataclass(eq=False)
class MissingNodeError(NotServedError):
    """A translation whose node types are not all here."""

    template = "The request needs node type {what}, which is not served here."


def wrong_field(name: str, problem: str, received: Any = None) -> HostedFieldsError:
    """A single wrong field: "width must be ...", "prompt is required"."""
    shown = json_kind(received) if isinstance(received, Mapping | list) else received
    shown = shown[:80] if isinstance(shown, str) else shown
    fact = {"code": "invalid_field", "input": name, "expected": problem, "received": shown}
    return HostedFieldsError(f"{name} {problem}", (fact,))
