"""Error bodies: `message` (and `messege`, the hosted API's spelling), all problems in `errors`."""

import logging
import secrets
from collections.abc import (
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api.field_errors import field_facts, unknown_fields
from api.json_response import JsonResponse
from api.methods import methods_at
from graph.errors import ServiceError
from graph.problems import Problem, WorkflowInvalidError
from graph.shown import LONGEST_MESSAGE, fitting, shown_text

M = TypeVar("M", bound=BaseModel)

LOG = logging.getLogger(__name__)
MOST_REASONS = 36_000  # characters of JSON; a whole answer stays below 64 KiB
MOST_BESIDE = 6_000


@dataclass(eq=False)
class BodyError(ServiceError):
    """A body that is no JSON object."""

    status = 400
    code = "bad_request"
    template = "The request body must be a JSON object: {problem}."
    problem: str


@dataclass(eq=False)
class FormError(ServiceError):
    """A body that is no multipart form."""

    status = 400
    code = "bad_form"
    template = "The request body must be a multipart form: {problem}."
    problem: str


@dataclass(eq=False)
class BodyTooLargeError(ServiceError):
    """A body over the limit; the rest of it was not read."""

    status = 413
    code = "too_large"
    template = "The request body is over the limit of {limit_bytes} bytes."
    limit_bytes: int


@dataclass(eq=False)
class MediaTypeError(ServiceError):
    """A Content-Type that the route does not read."""

    status = 415
    code = "unsupported_media_type"
    template = "Content-Type must be {expected}, got {received!r}."
    expected: str
    received: str


@dataclass(eq=False)
class InvalidFieldsError(ServiceError):
    """Fields of a request with wrong values; `errors` has them all, `problem` the first."""

    status = 422
    code = "invalid_field"
    template = "{problem}."
    problem: str
    errors: tuple[Mapping[str, Any], ...]


@dataclass(eq=False)
class BadFileRequestError(InvalidFieldsError):
    """As InvalidFieldsError, in the routes of files, where ComfyUI's clients expect a 400."""

    status = 400


@dataclass(eq=False)
class AbandonedError(ServiceError):
    """A job that took every process down that ran it, or met only such as went down."""

    status = 500
    code = "abandoned"
    template = "The job was begun {times} times, and each time what ran it went down."
    times: int


@dataclass(eq=False)
class JobCancelledError(ServiceError):
    """The caller's own wish."""

    status = 409
    code = "cancelled"
    template = "The job was cancelled."


@dataclass(eq=False)
class JobOverError(ServiceError):
    """Work that goes on after its job's end; it may save nothing more."""

    status = 409
    code = "job_over"
    template = "The job is over."


@dataclass(eq=False)
class DeadlineError(ServiceError):
    """A job that ran too long."""

    status = 504
    code = "deadline"
    template = "The job was stopped after {deadline_s:g} s, the longest that one may run."
    deadline_s: float


@dataclass(eq=False)
class UnexpectedError(ServiceError):
    """A fault of ours. The log has the rest under `error_id`."""

    code = "internal"
    template = "Something went wrong in the service (error id {error_id})."
    error_id: str


def unexpected(error: BaseException) -> UnexpectedError:
    """Log a fault of ours under an id, and return what a caller may know of it."""
    shown = UnexpectedError(secrets.token_hex(6))
    LOG.error("error id %s", shown.error_id, exc_info=error)
    return shown


def known(error: BaseException) -> ServiceError:
    """The error as a caller may see it."""
    return error if isinstance(error, ServiceError) else unexpected(error)


class Explained(Protocol):
    """One of several reasons."""

    def body(self) -> dict[str, Any]: ...


@runtime_checkable
class SeveralReasons(Protocol):
    """An error that has every reason as an object of its own."""

    problems: tuple[Explained, ...]


def reasons(error: ServiceError) -> Iterator[Mapping[str, Any]]:
    """Every reason where the error has several, else its own facts."""
    if isinstance(error, InvalidFieldsError):
        yield from error.errors
    elif isinstance(error, SeveralReasons):
        yield from (one.body() for one in error.problems)
    else:
        yield error.body()


def message_body(error: ServiceError) -> dict[str, Any]:
    """`message`, the misspelt twin that clients of the hosted API read, and `errors`.

    All of it is bounded, whatever a caller sent; `errors_left_out` counts what did not fit.
    """
    message = shown_text(str(error), LONGEST_MESSAGE)
    listed, left_out = fitting(reasons(error), MOST_REASONS)
    more = {"errors_left_out": left_out} if left_out else {}
    beside = {name: fitting(each, MOST_BESIDE)[0] for name, each in error.beside().items()}
    return {"message": message, "messege": message, "errors": listed, **more, **beside}


def error_body(error: ServiceError) -> dict[str, Any]:
    """The contract's answer to a request that could not be served."""
    return {"status": "error", **message_body(error)}


def error_response(error: ServiceError) -> JsonResponse:
    return JsonResponse(error_body(error), error.status, error_headers(error))


def error_headers(error: ServiceError) -> dict[str, str]:
    """What HTTP says of some errors beside their status."""
    wait_s = getattr(error, "retry_after_s", None)
    headers = {} if wait_s is None else {"Retry-After": str(wait_s)}
    return headers | ({"WWW-Authenticate": "Bearer"} if error.status == 401 else {})


def invalid_fields(
    error: ValidationError | RequestValidationError, unknown: Iterable[Mapping[str, Any]] = ()
) -> InvalidFieldsError:
    """What pydantic found, in the contract's words, after the fields that were `unknown`."""
    return refused_fields([*unknown, *field_facts(error.errors())])


def read_strictly(model: type[M], body: Mapping[str, Any]) -> M:
    """The fields of a body, which may have no others.

    Raises:
        InvalidFieldsError: 422 with every unknown field and every wrong one.
    """
    unknown = unknown_fields(body, model.model_fields)
    try:
        read = model.model_validate({k: v for k, v in body.items() if k in model.model_fields})
    except ValidationError as error:
        raise invalid_fields(error, unknown) from error
    if unknown:
        raise refused_fields(unknown)
    return read


async def and_of_workflow(
    refused: InvalidFieldsError, reading: Awaitable[object]
) -> InvalidFieldsError | WorkflowInvalidError:
    """Wrong fields, with what `reading` the workflow finds wrong too."""
    try:
        await reading
    except WorkflowInvalidError as error:
        fields = tuple(map(field_problem, refused.errors))
        return replace(error, problems=(*fields, *error.problems))
    except ServiceError as error:
        if error.status in {400, 413, 422}:
            return replace(refused, errors=(*refused.errors, *reasons(error)))
    return refused


def field_problem(fact: Mapping[str, Any]) -> Problem:
    """A wrong field, to be told among the problems of a workflow."""
    unknown = fact["code"] == "unknown_field"
    return Problem(
        fact["code"],
        "This field is not known here." if unknown else f"{fact['expected']}.",
        input=fact["input"],
        expected=fact["expected"],
        received=fact["received"],
        suggestion=fact.get("suggestion"),
    )


def refused_fields(facts: Sequence[Mapping[str, Any]]) -> InvalidFieldsError:
    """Every wrong field."""
    return InvalidFieldsError(str(facts[0]["message"]).removesuffix("."), tuple(facts))


def one_field(name: str, expected: str, received: Any) -> InvalidFieldsError:
    """A single wrong field."""
    said = f"Field {name!r}: {expected}"
    fact = {"code": "invalid_field", "input": name, "message": f"{said}.", "expected": expected}
    return InvalidFieldsError(said, ({**fact, "received": received},))


def add_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(ServiceError, _on_service_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_middleware(FaultBarrier)


Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Message, Receive, Send], Awaitable[None]]


class FaultBarrier:
    """ASGI middleware: whatever nobody expected becomes a 500 in the contract's shape."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except ClientDisconnect:  # in the middle of its body: no fault, and nobody to be told
            if not started:
                await error_response(BodyError("it is not complete"))(scope, receive, send)
        except Exception as error:  # noqa: BLE001  the last boundary before the server's own page
            shown = unexpected(error)
            if not started and scope["type"] == "http":
                await error_response(shown)(scope, receive, send)


async def _on_service_error(_: Request, error: Exception) -> JsonResponse:
    assert isinstance(error, ServiceError)
    return error_response(error)


async def _on_validation_error(_: Request, error: Exception) -> JsonResponse:
    assert isinstance(error, RequestValidationError)
    return error_response(invalid_fields(error))


async def _on_http_exception(request: Request, error: Exception) -> JsonResponse:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:  # Starlette names the methods of one route, not of the path
        headers["Allow"] = ", ".join(sorted(methods_at(request)))
    message = str(error.detail)
    errors = [{"code": f"http_{error.status_code}", "message": message}]
    body = {"status": "error", "message": message, "messege": message, "errors": errors}
    return JsonResponse(body, error.status_code, headers)
