"""Bodies that contain a workflow, under `workflow` or as ComfyUI's POST /prompt has it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from api.errors import and_of_workflow, refused_fields
from api.field_errors import unknown_fields

# What clients of ComfyUI send beside `prompt`; only `extra_data` says something of the workflow.
BESIDE_PROMPT = frozenset(
    {"client_id", "extra_data", "front", "number", "partial_execution_targets", "prompt_id"}
)
SCHEMA_FIELDS = ("workflow",)  # of the routes that only read a workflow
CONVERT_FIELDS = ("workflow", "object_info")


def with_workflow(body: Mapping[str, Any]) -> dict[str, Any]:
    """A body with its workflow under `workflow`; `{"prompt": ...}` bodies become wrappers of it."""
    if body.get("prompt") is None:
        return dict(body)
    wrapped = {k: body[k] for k in ("prompt", "extra_data", "workflow") if k in body}
    rest = {k: v for k, v in body.items() if k not in BESIDE_PROMPT | wrapped.keys()}
    return rest | {"workflow": wrapped}


async def read_only(
    body: Mapping[str, Any],
    fields: tuple[str, ...],
    read: Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]],
) -> dict[str, Any]:
    """What `read` makes of a body that has no other fields.

    Raises:
        ServiceError: with every field that is none of these, and what is wrong with the workflow.
    """
    given = with_workflow(body)
    reading = read({name: value for name, value in given.items() if name in fields})
    if unknown := unknown_fields(given, fields):
        raise await and_of_workflow(refused_fields(unknown), reading)
    return dict(await reading)
