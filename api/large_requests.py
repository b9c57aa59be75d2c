"""Large requests: read, checked and planned in a process of their own.

Reading hundreds of thousands of values, or planning thousands of nodes, keeps Python's interpreter
busy, and with it the event loop that everybody's answers come from. So a router hands the bytes of
such a body to another process, and gets back what it has to know: a few facts, or an answer that is
bytes already.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from fastapi import FastAPI, Request, Response

from api.errors import error_body, error_headers
from api.jobs.runner import Prepared
from api.json_response import JsonResponse
from api.schemas import ExecuteRequest
from graph.errors import ServiceError


@dataclass(frozen=True)
class Rendered:
    """An answer of JSON, written already."""

    content: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, answer: Mapping[str, Any], status: int = 200) -> "Rendered":
        return cls(bytes(JsonResponse(answer).body), status)

    @classmethod
    def of_error(cls, error: ServiceError) -> "Rendered":
        return cls(bytes(JsonResponse(error_body(error)).body), error.status, error_headers(error))


def rendered_response(answer: Rendered) -> Response:
    """As HTTP sends it."""
    headers = dict(answer.headers)
    return Response(answer.content, answer.status, headers, media_type="application/json")


class RefusedError(Exception):
    """A large request that is answered with an error, written already."""

    def __init__(self, answer: Rendered, body_hash: str | None = None) -> None:
        super().__init__(answer, body_hash)
        self.answer = answer
        self.body_hash = body_hash


def add_refused_handler(app: FastAPI) -> None:
    """Have what was refused answered."""
    app.add_exception_handler(RefusedError, _on_refused)


async def _on_refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return rendered_response(error.answer)


@dataclass(frozen=True)
class ReadRequest:
    """An execute request that can run.

    `request` is without the workflow and its overrides, `prepared` without the prompt and its plan:
    they are read again when the job runs. `body` is what is stored until then. A dry run has its
    `answer` instead.
    """

    request: ExecuteRequest
    prepared: Prepared
    body: bytes = b""
    body_hash: str | None = None
    answer: bytes = b""


@dataclass(frozen=True)
class ReadPrompt:
    """A body of POST /prompt that can run, and how it is posted (api/jobs/acceptance.py, Posted).

    `node_errors` is JSON.
    """

    read: ReadRequest
    posted: Mapping[str, Any]
    node_errors: bytes


@dataclass(frozen=True)
class Asked:
    """A large body, whose it is, and what of the service's the reading of it needs."""

    owner: str
    raw: bytes
    how: Mapping[str, Any] = field(default_factory=dict)


class LargeRequests(Protocol):
    """Reads large requests. Each may raise a ServiceError: there is too much to do."""

    @property
    def least_bytes(self) -> int:
        """Of a large one."""
        ...

    async def execute(self, asked: Asked) -> ReadRequest:
        """An execute body; `how`: {"asynchronous": bool, "hashed": bool}. Raises RefusedError."""
        ...

    async def prompt(self, asked: Asked) -> ReadPrompt:
        """A body of POST /prompt; `how`: {"retain_inputs": bool}. Raises RefusedError."""
        ...

    async def schema(self, asked: Asked) -> Rendered: ...

    async def convert(self, asked: Asked) -> Rendered: ...

    async def opened(self, asked: Asked) -> tuple[dict[str, Any], Prepared]:
        """The body of a stored request, and its workflow, ready to run."""
        ...

    def close(self) -> None:
        """End the processes that do nothing."""
        ...


def with_members(object_: bytes, more: Mapping[str, bytes]) -> bytes:
    """JSON of an object, with some members more, of which the JSON is there."""
    members = [b'"%b":%b' % (name.encode(), value) for name, value in more.items()]
    inside = object_[1:-1]
    return b"{" + b",".join([inside, *members] if inside.strip() else members) + b"}"
