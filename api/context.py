"""What every route needs: the service, who calls it, and how big a body may be.

Every route that is not public says by one of these dependencies what scope it takes, so that a
request is let in before anything of it is looked at. Dependencies are coroutines, as FastAPI enters
a thread for each that is not.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, cast

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, APIKeyQuery, HTTPBearer

from api.bodies import JSON_TYPE, JsonBody, KeyBody, media_type
from api.errors import refused_fields
from api.field_errors import unknown_fields
from api.heavy_work import HeavyWork
from api.jobs.service import Service
from api.json_reading import BodyLimits
from api.keys.access import Access, Caller, Scope
from graph.digits import whole_number
from storage.jobs.records import MissingJobError

LONGEST_ID = 16  # digits of 2**53


@dataclass(frozen=True)
class Context:
    """Set once by `create_app`."""

    service: Service
    access: Access
    body_limits: BodyLimits = field(default_factory=BodyLimits)
    heavy: HeavyWork = field(default_factory=HeavyWork)
    public_url: str = ""

    def body_of(
        self, request: Request, *, any_type: bool = False, limits: BodyLimits | None = None
    ) -> JsonBody:
        """The JSON body of a request, within the limits of one without a workflow or `limits`."""
        limits = limits or self.body_limits.of_plain_bodies()
        return JsonBody(request, self.heavy, limits, any_type=any_type)


def context(request: Request) -> Context:
    return cast(Context, request.app.state.context)


@dataclass(frozen=True)
class Call:
    """A request with a JSON body: who asks, and the body without the key that may be in it."""

    caller: Caller
    body: dict[str, Any]

    @property
    def owner(self) -> str:
        return self.caller.owner


BEARER = HTTPBearer(auto_error=False, description="An API key.")
HEADER = APIKeyHeader(name="X-API-Key", auto_error=False)
QUERY = APIKeyQuery(name="key", auto_error=False, description="Also as `key` in a JSON body.")


async def key_places(
    _bearer: Annotated[Any, Security(BEARER)],
    _header: Annotated[Any, Security(HEADER)],
    _query: Annotated[Any, Security(QUERY)],
) -> None:
    """Tells the documentation of a route where its key may be; `Access` reads it."""


KeyPlaces = Annotated[None, Depends(key_places)]


@dataclass(frozen=True)
class CallWith:
    """Lets a request in for a scope, and reads its JSON body.

    With `session`, on the editor's routes, the body may have any Content-Type, as in ComfyUI.
    """

    scope: Scope
    session: bool = False

    async def __call__(self, request: Request, _: KeyPlaces) -> Call:
        known = context(request)
        read = known.body_of(request, any_type=self.session)
        caller = await known.access.caller(request, self.scope, read.head, session=self.session)
        body = await read(caller.owner)
        return Call(caller, {name: value for name, value in body.items() if name != "key"})


@dataclass(frozen=True)
class WorkflowCall(Call):
    """A request with a workflow. A `large` one is here as bytes, for another process to read."""

    large: bytes | None = None


@dataclass(frozen=True)
class WorkflowCallWith:
    """As CallWith, of a request whose body holds a workflow.

    Without `elsewhere` even a large one is read here.
    """

    scope: Scope
    session: bool = False
    elsewhere: bool = True

    async def __call__(self, request: Request, _: KeyPlaces) -> WorkflowCall:
        known = context(request)
        limits = known.body_limits if self.elsewhere else known.body_limits.of_bodies_read_here()
        read = known.body_of(request, any_type=self.session, limits=limits)
        caller = await known.access.caller(request, self.scope, read.head, session=self.session)
        if self.elsewhere and (reader := known.service.large):
            raw = await read.large(caller.owner, reader.least_bytes)
            if raw is not None:
                return WorkflowCall(caller, {}, raw)
        body = await read(caller.owner)
        return WorkflowCall(caller, {name: value for name, value in body.items() if name != "key"})


@dataclass(frozen=True)
class CallerWith:
    """Lets a request in for a scope; its JSON body may hold a key alone.

    With `session` a browser that logged in needs no key: the editor's routes, and no others.
    """

    scope: Scope
    session: bool = False

    async def __call__(self, request: Request, _: KeyPlaces) -> Caller:
        known = context(request)
        body = KeyBody(request, known.heavy, known.body_limits.of_plain_bodies())
        return await known.access.caller(request, self.scope, body.head, session=self.session)


@dataclass(frozen=True)
class OwnerWith:
    """As CallerWith, and gives the owner."""

    scope: Scope
    session: bool = False

    async def __call__(self, request: Request, _: KeyPlaces) -> str:
        return (await CallerWith(self.scope, self.session)(request, None)).owner


@dataclass(frozen=True)
class OwnerAlone:
    """As OwnerWith, of a request that says all it has to say in its path and its key.

    Raises:
        InvalidFieldsError: its JSON body has fields.
    """

    scope: Scope

    async def __call__(self, request: Request, _: KeyPlaces) -> str:
        owner = (await CallerWith(self.scope)(request, None)).owner
        known = context(request)
        if media_type(request) == JSON_TYPE:
            body = await KeyBody(request, known.heavy, known.body_limits.of_plain_bodies())(owner)
            if unknown := unknown_fields(body, ("key",)):
                raise refused_fields(unknown)
        return owner


def base_url(request: Request) -> str:
    """What this service's URLs begin with: the setting, or "http://host:port" as it was called."""
    return context(request).public_url or str(request.base_url).rstrip("/")


def read_job_id(text: str) -> int:
    """The id in a path; what cannot be one is a job that does not exist."""
    if (job_id := whole_number(text, LONGEST_ID)) is None:
        raise MissingJobError(text[:40])
    return job_id


async def in_context(request: Request) -> Context:
    return context(request)


async def in_base_url(request: Request) -> str:
    return base_url(request)


async def in_job_id(job_id: str) -> int:
    return read_job_id(job_id)


InContext = Annotated[Context, Depends(in_context)]
Owner = Annotated[str, Depends(OwnerWith("read"))]
LoneOwner = Annotated[str, Depends(OwnerAlone("read"))]
LoneActingOwner = Annotated[str, Depends(OwnerAlone("execute"))]
ActingOwner = Annotated[str, Depends(OwnerWith("execute"))]
EditorOwner = Annotated[str, Depends(OwnerWith("read", session=True))]
ActingEditorOwner = Annotated[str, Depends(OwnerWith("execute", session=True))]
ActingEditorCall = Annotated[Call, Depends(CallWith("execute", session=True))]
ActingCall = Annotated[Call, Depends(CallWith("execute"))]
PromptCall = Annotated[WorkflowCall, Depends(WorkflowCallWith("execute", session=True))]
WorkflowReading = Annotated[WorkflowCall, Depends(WorkflowCallWith("read"))]
WorkflowActing = Annotated[WorkflowCall, Depends(WorkflowCallWith("execute"))]
JobCall = Annotated[WorkflowCall, Depends(WorkflowCallWith("execute", elsewhere=False))]
BaseUrl = Annotated[str, Depends(in_base_url)]
JobId = Annotated[int, Depends(in_job_id)]
