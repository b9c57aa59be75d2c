"""What schemathesis is told: the ids of what is there, and to leave its own key alone."""

import os
from typing import Any

import schemathesis

OWN_KEY = os.environ["COMFYRAY_KEY"].split("_")[1]
THERE = {"job_id": os.environ["COMFYRAY_JOB"], "request_id": os.environ["COMFYRAY_JOB"]}
WITHOUT_IDS = {"DELETE"}  # what is there is to stay


@schemathesis.hook
def filter_case(_: schemathesis.HookContext, case: schemathesis.Case[Any]) -> bool:
    return OWN_KEY not in (case.path_parameters or {}).values()


@schemathesis.hook
def map_path_parameters(
    context: schemathesis.HookContext, path_parameters: dict[str, Any] | None
) -> dict[str, Any] | None:
    """Every other id is one of something that is there."""
    assert context.operation is not None
    if not path_parameters or context.operation.method.upper() in WITHOUT_IDS:
        return path_parameters
    return {
        name: THERE[name] if name in THERE and len(str(value)) % 2 else value
        for name, value in path_parameters.items()
    }
