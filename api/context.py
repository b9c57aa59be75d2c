"""What every route needs: the service, who may call it, and how big a body may be."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from api.access import Access
from api.service import Service
from storage.jobs import MissingJobError

LONGEST_ID = 16  # digits of 2**53


@dataclass(frozen=True)
class Context:
    """Set once by `create_app`."""

    service: Service
    access: Access
    most_body_bytes: int


def context(request: Request) -> Context:
    return cast(Context, request.app.state.context)


async def owner(request: Request) -> str:
    """The owner of a request whose JSON body holds no key."""
    return await context(request).access.owner(request)


def base_url(request: Request) -> str:
    """ "http://host:port" as the caller wrote it."""
    return str(request.base_url).rstrip("/")


def job_id(job_id: str) -> int:
    """The id in a path; what cannot be one is a job that does not exist."""
    if not job_id.isascii() or not job_id.isdecimal() or len(job_id) > LONGEST_ID:
        raise MissingJobError(job_id[:40])
    return int(job_id)


InContext = Annotated[Context, Depends(context)]
Owner = Annotated[str, Depends(owner)]
BaseUrl = Annotated[str, Depends(base_url)]
JobId = Annotated[int, Depends(job_id)]
