"""What comes back: jobs, their events, and their outputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from comfyray.errors import JobFailedError
from comfyray.files import create

Status = Literal["processing", "success", "failed"]


@dataclass(frozen=True)
class Output:
    """One file that an output node saved; `content` is the file itself."""

    node_id: str
    type: str  # image, video, audio, file
    filename: str
    mime_type: str
    url: str
    content: bytes = field(repr=False)
    width: int | None = None
    height: int | None = None
    temporary: bool = False  # of a preview node
    subfolder: str = ""

    def save(self, folder: str | Path) -> Path:
        """Write the file into a folder, which is made; its path. Nothing is written over."""
        with create(folder, self.filename, self.subfolder) as file:
            file.write(self.content)
            return Path(file.name)


@dataclass(frozen=True)
class Result:
    """A job that succeeded. `answer` is all that the service said of it."""

    id: int
    outputs: tuple[Output, ...]
    answer: Mapping[str, Any] = field(repr=False)

    @property
    def pictures(self) -> tuple[Output, ...]:
        """The images that were asked for, without previews."""
        return tuple(o for o in self.outputs if o.type == "image" and not o.temporary)

    @property
    def seeds(self) -> Mapping[str, int]:
        """The seeds that were used, by node id."""
        return dict(self.answer.get("meta", {}).get("seed", {}))


@dataclass(frozen=True)
class Job:
    """How a job stands. `answer` is the service's."""

    id: int
    status: Status
    answer: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> "Job":
        return cls(answer["id"], answer["status"], answer)

    @property
    def ended(self) -> bool:
        return self.status != "processing"

    def succeeded(self) -> "Job":
        """The job itself.

        Raises:
            JobFailedError: it ended otherwise.
        """
        if self.status == "failed":
            raise JobFailedError(self.answer)
        return self


@dataclass(frozen=True)
class Event:
    """Something that happened in a job: queued, node, progress, output, or how it ended."""

    type: str
    data: Mapping[str, Any]
    id: str = ""

    @property
    def final(self) -> bool:
        return self.type in {"success", "failed", "cancelled"}
