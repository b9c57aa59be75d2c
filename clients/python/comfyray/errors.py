"""What can go wrong, as exceptions that say it in the service's own words."""

from collections.abc import Mapping, Sequence
from typing import Any


class ComfyrayError(Exception):
    """Anything that this package raises."""


class UnreachableError(ComfyrayError):
    """The service did not answer, however often it was asked."""


class RequestError(ComfyrayError):
    """The service refused a request; nothing was accepted.

    `errors` has every problem: a dict with `code`, and `node_id`, `input`, `expected` and
    `received` where they apply.
    """

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        self.status = status
        self.errors: Sequence[Mapping[str, Any]] = body.get("errors", ())
        super().__init__(body.get("message") or f"the service answered {status}")


class JobFailedError(ComfyrayError):
    """A job ended without its result: it failed, or was cancelled."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self.job_id: int = answer["id"]
        self.errors: Sequence[Mapping[str, Any]] = answer.get("errors", ())
        super().__init__(f"job {self.job_id}: {answer.get('message', 'it failed')}")
