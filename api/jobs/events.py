"""Typed job events; pictures stay bytes until they are sent."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:  # the hub needs no database
    from storage.jobs.records import JobRecord, JobStatus
    from storage.outputs import StoredOutput

EVENT_BYTES = 256  # what an event takes beside its pictures


@dataclass(frozen=True)
class Queued:
    """The job waits in line."""

    position: int = 0


@dataclass(frozen=True)
class Begun:
    """A replica began the job, for the first time or anew.

    `previews_asked` is whether the prompt named a way to make previews (`preview_method`).
    """

    previews_asked: bool = False


@dataclass(frozen=True)
class NodeStarted:
    node_id: str
    class_type: str


@dataclass(frozen=True)
class NodeCached:
    """The node does not run: its result was there."""

    node_id: str
    class_type: str


@dataclass(frozen=True)
class NodeFinished:
    node_id: str
    class_type: str


@dataclass(frozen=True)
class Progressed:
    """Step `step` of `of` is done. `preview` is a small JPEG of the picture so far."""

    node_id: str
    step: float
    of: float
    preview: bytes | None = None


@dataclass(frozen=True)
class Saved:
    """An output can be read."""

    output: "StoredOutput"


@dataclass(frozen=True)
class Shown:
    """A picture for whoever listens just then, which is not stored."""

    node_id: str
    png: bytes


@dataclass(frozen=True)
class Said:
    """A line of text about a node that runs."""

    node_id: str
    text: str


@dataclass(frozen=True)
class Sent:
    """A message of a custom node to its page: a type of its pack's own, and JSON."""

    node_id: str
    type: str
    json: str


@dataclass(frozen=True)
class Displayed:
    """What a call of a node shows: ComfyUI's `ui`, as JSON, lists by name.

    `{"$file": k}` in it is the k-th of the `files` that the call made just before. A call that is
    made once more, as its result was lost, has the same `part`.
    """

    node_id: str
    json: str
    files: int = 0
    part: str = ""


@dataclass(frozen=True)
class Ended:
    """The last event of a job; the record has the rest. `code` and `message` are of its error."""

    status: "JobStatus"
    node_id: str = ""  # the node that failed, where the error says it
    code: str = ""
    message: str = ""


JobEvent: TypeAlias = (
    Queued
    | Begun
    | NodeStarted
    | NodeCached
    | NodeFinished
    | Progressed
    | Saved
    | Shown
    | Said
    | Sent
    | Displayed
    | Ended
)


@dataclass(frozen=True)
class JobAddress:
    """A job, whose it is, and which of the owner's clients posted it."""

    owner: str
    id: int
    prompt_id: str | None = None
    client_id: str | None = None

    @classmethod
    def of(cls, record: "JobRecord") -> "JobAddress":
        return cls(record.owner, record.id, record.prompt_id, record.client_id)


@dataclass(frozen=True)
class Happened:
    """An event of a job with its number, which rises, and when it was (Unix seconds)."""

    job: JobAddress
    id: int
    at_s: float
    event: JobEvent

    @property
    def preview(self) -> bytes | None:
        return self.event.preview if isinstance(self.event, Progressed) else None

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        picture = self.event.png if isinstance(self.event, Shown) else self.preview
        text = self.event.json if isinstance(self.event, Sent | Displayed) else ""
        return EVENT_BYTES + len(picture or b"") + len(text)

    @property
    def kept(self) -> "Happened":
        """As it is remembered: without a picture for who listens just then."""
        if isinstance(self.event, Shown):
            return replace(self, event=replace(self.event, png=b""))
        return self

    def without_preview(self) -> "Happened":
        assert isinstance(self.event, Progressed)
        return replace(self, event=replace(self.event, preview=None))


def ended_event(record: "JobRecord") -> Ended:
    """How a job ended, as its record says."""
    error = record.error or {}
    problem = (error.get("errors") or [{}])[0]
    node_id, code = str(problem.get("node_id") or ""), str(problem.get("code") or "")
    return Ended(record.status, node_id, code, str(error.get("message", "")))
