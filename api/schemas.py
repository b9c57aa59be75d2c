"""Schemas on the wire: the execute body, and the documented answers."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from api.errors import invalid_fields, read_strictly
from storage.pictures import ImageFormat

LONGEST_WAIT_S = 60.0
DEFAULT_WAIT_S = 30.0
EXAMPLE_WORKFLOW: JsonDict = {  # needs no model
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 256, "height": 256, "batch_size": 1, "color": 3368601},
    },
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "hello"}},
}
EXAMPLE_OUTPUT: JsonDict = {
    "node_id": "9",
    "type": "image",
    "url": "http://127.0.0.1:8000/outputs/...",
    "filename": "ComfyUI_00001_.png",
    "width": 512,
    "height": 512,
    "mime_type": "image/png",
    "size": 412345,
    "sha256": "9f86d081...",
    "expires_at": "2026-11-29T18:24:00Z",
}


HALF_A_PAIR = re.compile("[\ud800-\udfff]")


def _spelling(value: object) -> object:
    """ "JPG" and "jpeg" are one format."""
    lower = value.strip().lower() if isinstance(value, str) else value
    return "jpeg" if lower == "jpg" else lower


def _document(value: object) -> object:
    if not isinstance(value, Mapping | str):
        raise PydanticCustomError("workflow", "must be an object, or JSON text of one")
    return value


def _text(value: object) -> object:
    return str(value) if isinstance(value, int) else value


def _keepable(value: str) -> str:
    if "\0" in value:
        raise ValueError("it holds a NUL, which PostgreSQL does not keep")  # noqa: TRY003
    if HALF_A_PAIR.search(value):
        raise ValueError("it holds half a surrogate pair, which is no text")  # noqa: TRY003
    return value


Line = Annotated[str, AfterValidator(_keepable)]


class ExecuteRequest(BaseModel):
    """A workflow to run. Numbers and booleans may be strings ("0.5", "yes"); null is unset."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "example": {
                "workflow": EXAMPLE_WORKFLOW,
                "inputs": {"1.color": 13382451},
                "wait": 30,
            }
        },
    )

    workflow: Annotated[dict[str, Any] | str, BeforeValidator(_document)] = Field(
        description="ComfyUI's API format or UI format, as an object or as JSON text."
    )
    inputs: dict[str, Any] = Field(
        default_factory=dict,
        description='Overrides: {"6": {"text": "..."}} or {"6.text": "..."}; a node by id, '
        "subgraph path, unique tail of it, title or App-Mode name.",
    )
    webhook: Line | None = Field(None, description="http(s) URL that gets the answer at the end.")
    webhook_url: Line | None = Field(None, description="The same as `webhook`.")
    track_id: Annotated[Line | None, BeforeValidator(_text)] = Field(
        None, description="Comes back in answers and in the webhook."
    )
    wait: float = Field(
        DEFAULT_WAIT_S,
        allow_inf_nan=False,
        description="Seconds to hold the answer for the result, 60 at most; 0 answers at once.",
    )
    format: Annotated[ImageFormat, BeforeValidator(_spelling)] = "png"
    quality: int = Field(90, ge=1, le=100, description="Of webp and jpeg.")
    base64: bool = Field(False, description="Pictures in the answer instead of URLs.")
    metadata: bool = Field(True, description="Workflow and prompt in PNG files.")
    dry_run: bool = Field(False, description="Validate and quote only.")
    strict: bool = Field(
        False, description="Refuse a workflow of which any output cannot run; else it is skipped."
    )
    retain_inputs: bool = Field(
        False, description="Keep the request, encrypted, after the job's end."
    )
    priority: int = Field(0, ge=-10, le=10, description="Order within one owner's jobs.")

    @model_validator(mode="before")
    @classmethod
    def _null_is_unset(cls, body: Any) -> Any:
        if not isinstance(body, Mapping):
            return body
        return {name: value for name, value in body.items() if value is not None}

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """The request in `body`.

        Raises:
            InvalidFieldsError: 422 with every wrong field.
        """
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            raise invalid_fields(error) from error

    @classmethod
    def accept(cls, body: Mapping[str, Any]) -> Self:
        """As `read`, of a body that comes from a caller: it may have no other fields.

        Raises:
            InvalidFieldsError: 422 with every wrong field and every unknown one.
        """
        return read_strictly(cls, body)

    @property
    def wait_s(self) -> float:
        return min(max(self.wait, 0.0), LONGEST_WAIT_S)

    @property
    def callback(self) -> str | None:
        return self.webhook or self.webhook_url or None

    @property
    def callback_field(self) -> str:
        """The field that `callback` came in."""
        return "webhook" if self.webhook else "webhook_url"


class Output(BaseModel):
    """One file that an output node saved."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE_OUTPUT})

    node_id: str
    type: Literal["image", "video", "audio", "file"]
    url: str | None = Field(description="Signed and short-lived; fetch the job for a fresh one.")
    base64: str | None = Field(None, description="The file itself, where base64 was asked for.")
    filename: str
    subfolder: str | None = None
    width: int | None
    height: int | None
    mime_type: str
    size: int
    sha256: str
    temporary: bool | None = Field(None, description="True for previews.")
    expires_at: str = Field(description="When the file may be swept away.")
    fps: float | None = Field(None, description="Of a video.")
    frames: int | None = Field(None, description="Of a video.")
    duration_s: float | None = Field(None, description="Of a video or sound.")
    sample_rate: int | None = Field(None, description="Of sound, in Hz.")
    channels: int | None = Field(None, description="Of sound.")
    poster: str | None = Field(None, description="URL of a picture of a video.")


class NodeTime(BaseModel):
    """When a node ran, in seconds since the job's start."""

    node_id: str
    class_type: str
    stage: str
    start_s: float
    end_s: float
    cached: bool


class Timings(BaseModel):
    queued_s: float
    nodes: list[NodeTime]


class Skipped(BaseModel):
    """An output node that cannot run, and was left out; the others run."""

    node_id: str
    class_type: str
    pack: str | None = Field(description="The pack of custom nodes that has the type, if known.")
    message: str
    errors: list["Problem"]


class Success(BaseModel):
    """The job is done."""

    status: Literal["success"]
    id: int
    generationTime: float = Field(description="Seconds from start to end.")  # noqa: N815
    track_id: str | None
    output: list[str] = Field(description="URLs (or base64 texts) of `outputs`, in that order.")
    outputs: list[Output]
    meta: dict[str, Any] = Field(
        examples=[{"seed": {"3": 42}, "overrides": {"6.text": "6"}}],
        description="Seeds used, and the node that each override reached.",
    )
    timings: Timings
    skipped: list[Skipped] = Field(description="Outputs that cannot run, while others can.")


class Processing(BaseModel):
    """The job waits or runs; fetch it again."""

    status: Literal["processing"]
    id: int
    eta: float = Field(description="Estimated seconds to go.")
    queue_position: int = Field(description="0 when it runs.")
    fetch_result: str
    events: str
    output: list[str]
    future_links: list[str]
    track_id: str | None
    message: str
    messege: str
    skipped: list[Skipped]


class Problem(BaseModel):
    """One thing that is wrong; which fields are there depends on `code`."""

    model_config = ConfigDict(extra="allow")

    code: str
    node_id: str | None = None
    class_type: str | None = None
    input: str | None = None
    expected: Any = None
    received: Any = None


class Failed(BaseModel):
    """The job ended without its result: it failed, or was cancelled (code "cancelled")."""

    status: Literal["failed"]
    id: int
    track_id: str | None
    message: str
    messege: str
    errors: list[Problem]
    output: list[str]
    outputs: list[Output]
    skipped: list[Skipped]


class Error(BaseModel):
    """The request could not be served; nothing was accepted."""

    status: Literal["error"]
    message: str
    messege: str = Field(description="`message` once more, as the hosted API spells it.")
    errors: list[Problem]


class JobSummary(BaseModel):
    id: int
    prompt_id: str | None = Field(None, description="By which ComfyUI's API knows it.")
    status: Literal["queued", "running", "success", "failed", "cancelled"]
    priority: int
    track_id: str | None
    created_at: str
    started_at: str | None
    ended_at: str | None
    message: str | None = Field(description="Why it failed.")
    outputs: list[Output] = Field(description="Of a job that has ended, by URL.")
    fetch_result: str
    events: str


class JobPage(BaseModel):
    """The owner's jobs, newest first."""

    status: Literal["success"]
    jobs: list[JobSummary]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last.")


class Attempt(BaseModel):
    """One POST to the receiver: what it answered, or why there was no answer."""

    at: str
    took_s: float
    status: int | None
    problem: str | None


class DeliveryEvent(BaseModel):
    """A webhook. The receiver knows it by `event_id` (header `webhook-id`), however often sent."""

    event_id: str
    url: str
    created_at: str
    delivered_at: str | None
    next_attempt_at: str | None = Field(description="null: it is not tried any more.")
    attempts: list[Attempt]


class Deliveries(BaseModel):
    """A job's webhooks; none where no `webhook` was asked for, or the job has not ended."""

    status: Literal["success"]
    id: int
    events: list[DeliveryEvent]


class WebhookSecret(BaseModel):
    status: Literal["success"]
    secret: str = Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])


class Deleted(BaseModel):
    """The job is gone, with all that was kept of it."""

    status: Literal["success"]
    id: int
    message: str


Answer = Success | Processing | Failed
