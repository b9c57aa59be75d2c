"""What the HTTP side needs from whoever reads and runs workflows.

All of it is called on the service's event loop. `owner` says whose uploads, outputs and caches
may be used. Errors that the caller should read are `graph.errors.ServiceError`s.
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from api.jobs.events import JobEvent

if TYPE_CHECKING:  # whoever only reads workflows needs no database
    from graph.execution import NodeTiming
    from storage.job_outputs import JobOutputs

Report = Callable[[JobEvent], None]


@dataclass(frozen=True)
class Prepared:
    """A workflow that can run. A runner subclasses it to carry its plan."""

    prompt: Mapping[str, Any]  # API format, overrides applied; goes into PNGs
    workflow: Mapping[str, Any] | None = None  # the UI document, where one was sent; goes into PNGs
    meta: Mapping[str, Any] = field(default_factory=dict)  # {"seed": {...}, "overrides": {...}}
    skipped: tuple[Mapping[str, Any], ...] = ()  # outputs that cannot run, and why
    eta_s: float | None = None
    outputs: int = 1  # how many files it will save at most, as far as that is known before
    output_ids: tuple[str, ...] = ()  # the output nodes that will run
    quote: Mapping[str, Any] = field(default_factory=dict)  # the answer to a dry run
    steps: Mapping[str, int] | None = None  # of all nodes by class, where the prompt is not here


class Runner(Protocol):
    """Reads workflows and runs them."""

    async def prepare(self, owner: str, body: Mapping[str, Any]) -> Prepared:
        """Parse, convert, override and validate the `workflow` and `inputs` of an execute body.

        Outputs that cannot run are `skipped` while others can, unless `strict` is in the body.

        Raises:
            ServiceError: 422 with every problem.
        """
        ...

    async def run(self, prepared: Any, job: "RunningJob") -> "tuple[NodeTiming, ...]":
        """Run it. CancelledError cancels all that was started.

        Raises:
            ServiceError: why it failed.
        """
        ...

    def jobs_kept(self) -> frozenset[int]:
        """The jobs of which it keeps something."""
        ...

    def forget(self, job_ids: AbstractSet[int]) -> None:
        """Keep nothing of jobs that were deleted."""
        ...

    def lent(self, job_id: int) -> bool:
        """Whether other jobs went on from what this one computed."""
        ...

    async def object_info(self, owner: str) -> Mapping[str, Any]:
        """All node types in ComfyUI's format, each entry made as it is read."""
        ...

    async def family(self, owner: str, folder: str, name: str) -> str:
        """The family that a model file is of, or is for; "" where it is not there or says none."""
        ...

    async def schema(self, owner: str, body: Mapping[str, Any]) -> Mapping[str, Any]: ...

    async def convert(self, owner: str, body: Mapping[str, Any]) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class RunningJob:
    """One run: whose it is, where its pictures go, who hears of its progress."""

    owner: str
    id: int
    outputs: "JobOutputs"
    report: Report
    warn: Callable[[str], None]  # said in the answer's `meta`
    hidden_values: Mapping[str, Any] = field(default_factory=dict)  # to nodes that ask, by Hidden
    as_comfyui: bool = False  # outputs that were saved before are not saved again; told in full
