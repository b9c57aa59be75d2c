"""Events that a running segment reports: node started, progress, warning."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from graph.new_files import NewFile
from graph.results import Outcome


@dataclass(frozen=True)
class Started:
    node_id: str


@dataclass(frozen=True)
class Progress:
    """A step of a long node. `preview` is a small JPEG of the picture so far, on request."""

    node_id: str
    step: float
    of: float
    preview: bytes | None = None


@dataclass(frozen=True)
class Warned:
    """Something a node did not do as asked, and went on."""

    node_id: str
    text: str


@dataclass(frozen=True)
class Blocked:
    """A node did not run, as an ExecutionBlocker with a message came in. Others go on."""

    node_id: str
    message: str


@dataclass(frozen=True)
class Said:
    """A line of text about a node that runs."""

    node_id: str
    text: str


@dataclass(frozen=True, eq=False)
class Sent:
    """A message of a node to the pages of the job's owner: a type of its pack's own, and JSON."""

    node_id: str
    type: str
    json: str


@dataclass(frozen=True, eq=False)
class Displayed:
    """What a call of a node shows: ComfyUI's `ui`, as JSON, lists by name.

    `{"$file": k}` in it is the k-th of the `files` that the call made just before. A call that is
    made once more, as its result was lost, has the same `part`.
    """

    node_id: str
    json: str
    files: int = 0
    part: str = ""


@dataclass(frozen=True, eq=False)
class FileMade:
    """An output node has made a file. `step` is the id of the step that ran it."""

    node_id: str
    file: NewFile
    step: str = ""


@dataclass(frozen=True)
class Needs:
    """A node has to wait for lazy inputs: it runs again when they are there."""

    node_id: str
    inputs: frozenset[str]


@dataclass(frozen=True, eq=False)
class Expanded:
    """A node gave graphs instead of results, or beside them: what each of its calls returned."""

    node_id: str
    seconds: float
    calls: tuple[Outcome, ...]
    mapped: bool = False  # the calls were over the items of lists


@dataclass(frozen=True, eq=False)
class Done:
    """A node has its outputs. `outputs` is None where nobody outside the segment needs them."""

    node_id: str
    seconds: float
    outputs: tuple[Any, ...] | None = None


StepEvent: TypeAlias = (
    Started
    | Progress
    | Warned
    | Blocked
    | Said
    | Sent
    | Displayed
    | FileMade
    | Needs
    | Expanded
    | Done
)
