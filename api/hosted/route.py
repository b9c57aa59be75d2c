"""Reads bodies and writes errors as the hosted API does."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from api.bodies import JsonBody
from api.context import Call, KeyPlaces, context
from api.errors import error_body, error_headers, invalid_fields
from api.hosted.catalog import LOADED_FROM
from api.hosted.options import HostedOptions
from api.hosted.problems import ModelNotFoundError
from api.json_response import JsonResponse
from api.keys.access import Scope
from graph.errors import ServiceError
from graph.problems import WorkflowInvalidError

INVALID = 422  # the hosted API says 400


def options(request: Request) -> HostedOptions:
    return cast(HostedOptions, request.app.state.hosted)


class HostedBody(JsonBody):
    """The body of a request; clients send none where all that they say is in the path."""

    def __init__(self, request: Request) -> None:
        known = context(request)
        super().__init__(request, known.heavy, known.body_limits.of_plain_bodies())
        length = request.headers.get("content-length", "0")
        self._empty = length == "0" and "transfer-encoding" not in request.headers

    async def head(self) -> Mapping[str, Any]:
        """As JsonBody."""
        return {} if self._empty else await super().head()

    async def __call__(self, owner: str = "") -> dict[str, Any]:
        """As JsonBody."""
        return {} if self._empty else await super().__call__(owner)


@dataclass(frozen=True)
class HostedCallWith:
    """Lets a request in for a scope, and reads its fields, the body's before the query's."""

    scope: Scope

    async def __call__(self, request: Request, _: KeyPlaces) -> Call:
        read = HostedBody(request)
        caller = await context(request).access.caller(request, self.scope, read.head)
        return Call(caller, {**request.query_params, **await read(caller.owner)})


class HostedRoute(APIRoute):
    """A route whose errors have the hosted API's statuses and words."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                return _response(request, invalid_fields(error))
            except WorkflowInvalidError as error:
                return _response(request, _model_not_found(error) or error)
            except ServiceError as error:
                return _response(request, error)

        return handled


def _response(request: Request, error: ServiceError) -> JsonResponse:
    status = 400 if error.status == INVALID else error.status
    wait_s = getattr(error, "retry_after_s", None)
    body = error_body(error) | ({} if wait_s is None else {"retry_after": wait_s})
    return JsonResponse(
        body, 200 if options(request).errors_as_200 else status, error_headers(error)
    )


def _model_not_found(error: WorkflowInvalidError) -> ModelNotFoundError | None:
    """The first problem that is a file, in the hosted API's words."""
    for problem in error.problems:
        named = (problem.model or {}).get("folder")
        folder = named or LOADED_FROM.get(problem.input or "")
        if folder and problem.code == "value_not_in_list":
            return ModelNotFoundError(str(problem.received)[:200], folder)
    return None


HostedReading = Annotated[Call, Depends(HostedCallWith("read"))]
HostedActing = Annotated[Call, Depends(HostedCallWith("execute"))]
