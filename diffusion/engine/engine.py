"""The step engine: runs all jobs of a replica as generators and batches their model calls.

Each job is parked at the rows it needs predicted. A step takes the job that has waited longest and
all others that the same call can answer, asks the model once on the compute thread and moves
every one of them on to its next question. So a job joins or leaves at a step boundary, and none
is passed over twice by the same neighbour.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor

from diffusion.batch.calls import Called, Denoiser, unheard
from diffusion.batch.rows import Asking, Row
from diffusion.engine.mixing import Mixable
from graph.errors import ServiceError
from graph.events import Progress, Warned


@dataclass(eq=False)
class SamplingError(ServiceError):
    """A sampler, or the model under it, that raised."""

    code = "sampling_failed"
    template = "Node {node_id}, step {step} of {of}, sigma {sigma:.4g}: {problem}."
    node_id: str
    step: int
    of: int
    sigma: float
    problem: str


@dataclass(eq=False)
class SamplingDivergedError(SamplingError):
    """A prediction that is not a number."""

    code = "sampling_diverged"


@dataclass(eq=False)
class DeadlineError(SamplingError):
    """A job whose deadline passed before its last step."""

    status = 504
    code = "deadline_exceeded"


Report: TypeAlias = Callable[[Progress | Warned], None]  # called on the event loop
Preview: TypeAlias = Callable[[Tensor], bytes | None]  # of the denoised latents so far


@dataclass(eq=False)
class Track:
    """How far a job has come. Its generator writes, the engine reads."""

    of: int
    step: int = 0  # finished
    sigma: float = math.nan
    denoised: Tensor | None = None


@dataclass(eq=False)
class Job:
    """One request part-way through its sampler, parked where it needs the model."""

    node_id: str
    model: Denoiser
    size: tuple[int, ...]  # [h, w] or [T, h, w]; jobs of one model and size share calls
    asking: Asking[Tensor]
    track: Track
    mixable: Mixable | None = None  # the same model as its base, and layers of its own
    report: Report | None = None
    preview: Preview | None = None
    deadline: float | None = None  # in the event loop's time
    question: Sequence[Row] = ()
    result: Tensor | None = None
    error: ServiceError | None = None
    cancelled: bool = False
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def rows(self) -> int:
        """How many pictures the model has to predict for the question."""
        return sum(len(row.x) for row in self.question)

    def shares_with(self, other: "Job") -> bool:
        """Whether one call can answer both."""
        if self.size != other.size:
            return False
        if self.model is other.model:
            return True
        mine, theirs = self.mixable, other.mixable
        return mine is not None and theirs is not None and mine.base is theirs.base

    @property
    def ended(self) -> bool:
        return self.result is not None or self.error is not None or self.cancelled

    def start(self) -> None:
        """Run to the first question."""
        self._move(lambda: next(self.asking))

    def advance(self, answers: Sequence[Tensor]) -> None:
        """Move to the next question, or to the end."""
        self._move(lambda: self.asking.send(answers))

    def fail(self, kind: type[SamplingError], problem: str) -> None:
        track = self.track
        step = min(track.step + 1, track.of)
        self.error = kind(self.node_id, step, track.of, track.sigma, problem)

    def _move(self, resume: Callable[[], Sequence[Row]]) -> None:
        try:
            self.question = resume()
        except StopIteration as end:
            self.result = end.value
        except ServiceError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this job's alone
            self.fail(SamplingError, _message(error))


class StepEngine:
    """Drives jobs. Its methods belong to one event loop; models are called on its own thread."""

    def __init__(self, *, batching: bool = True, called: Called = unheard) -> None:
        """`called` hears of every model call."""
        self._batching = batching
        self._called = called
        self._waiting: list[Job] = []  # who has waited longest first
        self._work = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "steps")
        self._stepping: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Jobs that are between steps; at most all of them, 0 when idle."""
        return len(self._waiting)

    async def run(self, job: Job) -> Tensor:
        """Take `job` to its end. Cancelling the call frees its rows at the next step.

        Raises:
            SamplingError: the model, the sampler or the deadline; see its subclasses.
        """
        await self._begin(job)
        if not job.ended:
            await self._queued(job)
        if job.error is not None:
            raise job.error
        assert job.result is not None
        return job.result

    async def _queued(self, job: Job) -> None:
        if self._stepping is None or self._stepping.done():
            self._stepping = asyncio.get_running_loop().create_task(self._run())
        self._waiting.append(job)
        self._work.set()
        try:
            await job.done.wait()
        except asyncio.CancelledError:
            job.cancelled = True
            self._work.set()
            raise

    async def _begin(self, job: Job) -> None:
        """Run `job` to its first question, beside the steps of others."""
        begun = asyncio.ensure_future(asyncio.to_thread(begin, job))
        try:
            await asyncio.shield(begun)
        except asyncio.CancelledError:
            begun.add_done_callback(lambda _: job.asking.close())
            raise

    async def close(self) -> None:
        """Stop stepping; jobs under way fail."""
        if self._stepping is not None:
            self._stepping.cancel()
            await asyncio.gather(self._stepping, return_exceptions=True)
        self._thread.shutdown()

    @property
    def jobs(self) -> int:
        """How many jobs wait for their next step."""
        return len(self._waiting)

    def check_health(self) -> None:
        """Raises what stopped the engine."""
        if self._stepping is not None and self._stepping.done():
            self._stepping.result()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._sweep(loop.time())
                if self._waiting:
                    await self._step(loop)
                else:
                    self._work.clear()
                    await self._work.wait()
        finally:
            for job in self._waiting:
                job.fail(SamplingError, "the step engine stopped")
            self._sweep(loop.time())

    async def _step(self, loop: asyncio.AbstractEventLoop) -> None:
        batch = self._take()
        before = [job.track.step for job in batch]
        rows, began = sum(job.rows for job in batch), time.perf_counter()
        stepped = loop.run_in_executor(self._thread, step, batch)
        try:
            await asyncio.shield(stepped)
        finally:
            await asyncio.wait([stepped])
            self._called(rows, time.perf_counter() - began)
            self._settle(batch, before)

    def _sweep(self, now: float) -> None:
        """Let go of jobs that were cancelled or are too late."""
        for job in self._waiting:
            if not job.ended and job.deadline is not None and now > job.deadline:
                job.fail(DeadlineError, "its time was up")
        for job in [job for job in self._waiting if job.ended]:
            self._end(job)
        self._waiting = [job for job in self._waiting if not job.ended]

    def _take(self) -> list[Job]:
        """The job that has waited longest and who can share its call, within the rows allowed."""
        oldest = self._waiting[0]
        limit = oldest.model.limit(*oldest.size)
        batch, rows = [oldest], oldest.rows
        for job in self._waiting[1:] if self._batching else ():
            if job.shares_with(oldest):
                rows += job.rows
                if rows > limit:
                    break
                batch.append(job)
        taken = set(map(id, batch))
        self._waiting = [job for job in self._waiting if id(job) not in taken]
        return batch

    def _settle(self, batch: Sequence[Job], before: Sequence[int]) -> None:
        for job, earlier in zip(batch, before, strict=True):
            if job.track.step > earlier and not job.cancelled:
                _report(job)
            if job.ended:
                self._end(job)
            else:
                self._waiting.append(job)

    def _end(self, job: Job) -> None:
        job.asking.close()
        job.model.forget()
        if job.mixable is not None:
            job.mixable.base.forget()
        job.question = ()
        job.done.set()


def _report(job: Job) -> None:
    track = job.track
    if job.report is None or track.denoised is None:
        return
    preview = None if job.preview is None else job.preview(track.denoised)
    job.report(Progress(job.node_id, track.step, track.of, preview))


@torch.inference_mode()
def begin(job: Job) -> None:
    """Run to the first question."""
    job.start()


@torch.inference_mode()
def step(batch: Sequence[Job]) -> None:
    """Answer all of `batch` with one call of its model, and move every job on.

    What goes wrong for one job, or in a call that it makes alone, ends that job only.
    """
    try:
        answers = _answers(batch)
    except Exception as error:  # noqa: BLE001 - shared blame is settled one by one
        if len(batch) == 1:
            batch[0].fail(SamplingError, _message(error))
        else:
            for job in batch:
                step([job])
        return
    _hand_out(batch, answers)


def _answers(batch: Sequence[Job]) -> list[Tensor]:
    """Of every job's rows, in order; jobs of one model are answered by it, others by their base."""
    first = batch[0]
    mixed = [job.mixable for job in batch if job.mixable is not None]
    if len(mixed) < len(batch) or all(job.model is first.model for job in batch):
        return first.model([row for job in batch for row in job.question])
    asked = [(job.question, one.own) for job, one in zip(batch, mixed, strict=True)]
    return mixed[0].base.answers(asked)


def _hand_out(jobs: Sequence[Job], answers: Sequence[Tensor]) -> None:
    """Give every job its answers, unless they are not numbers."""
    finite = torch.stack([torch.isfinite(answer).all() for answer in answers]).tolist()
    start = 0
    for job in jobs:
        stop = start + len(job.question)
        if all(finite[start:stop]):
            job.advance(answers[start:stop])
        else:
            job.fail(SamplingDivergedError, "the model's prediction is not a number")
        start = stop


def _message(error: Any) -> str:
    return f"{type(error).__name__}: {error}"
