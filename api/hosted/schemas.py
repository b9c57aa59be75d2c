"""Answer schemas of the hosted API, for the documentation."""

from typing import Any, Literal

from pydantic import BaseModel, Field


class HostedSuccess(BaseModel):
    """The pictures are there."""

    status: Literal["success"]
    id: int
    output: list[str] | str = Field(description="URLs, or base64 where it was asked for.")
    proxy_links: list[str]
    track_id: str | None = None
    generationTime: float | None = Field(None, description="Seconds.")  # noqa: N815
    webhook_status: str | None = None
    meta: dict[str, Any] | None = Field(None, description="What was really used.")
    tip: str | None = None


class HostedProcessing(BaseModel):
    """The job waits or runs; fetch it."""

    status: Literal["processing"]
    id: int
    eta: float = Field(description="Estimated seconds to go.")
    message: str
    messege: str
    output: list[str] | str
    fetch_result: str | None = Field(None, description="POST here for the result.")
    future_links: list[str] | None = None
    proxy_links: list[str] | None = None
    queue_position: int | None = None
    webhook_status: str | None = None
    meta: dict[str, Any] | None = None
    tip: str | None = None


class HostedFailed(BaseModel):
    """The job ended without its pictures."""

    status: Literal["failed"]
    id: int
    message: str
    messege: str
    output: str
    track_id: str | None
    meta: dict[str, Any] | None = None


HostedAnswer = HostedSuccess | HostedProcessing | HostedFailed
