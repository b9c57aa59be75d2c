"""Bodies that contain a workflow, under `workflow` or as ComfyUI's POST /prompt has it."""

from collections.abc import Mapping
from typing import Any

from api.errors import refused_fields
from api.field_errors import unknown_fields

# What clients of ComfyUI send beside `prompt`; only `extra_data` says something of the workflow.
BESIDE_PROMPT = frozenset(
    {"client_id", "extra_data", "front", "number", "partial_execution_targets", "prompt_id"}
)


def with_workflow(body: Mapping[str, Any]) -> dict[str, Any]:
    """A body with its workflow under `workflow`; `{"prompt": ...}` bodies become wrappers of it."""
    if body.get("prompt") is None:
        return dict(body)
    wrapped = {k: body[k] for k in ("prompt", "extra_data", "workflow") if k in body}
    rest = {k: v for k, v in body.items() if k not in BESIDE_PROMPT | wrapped.keys()}
    return rest | {"workflow": wrapped}


def known_only(body: Mapping[str, Any], *fields: str) -> dict[str, Any]:
    """A body of these fields.

    Raises:
        InvalidFieldsError: with every field that is none of them.
    """
    given = with_workflow(body)
    if unknown := unknown_fields(given, fields):
        raise refused_fields(unknown)
    return given
