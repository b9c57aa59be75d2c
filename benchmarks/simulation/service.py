"""This service in simulated time: deployments of stages, whose samplers share steps."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from benchmarks.simulation.clock import Clock, Device, Then
from benchmarks.simulation.profiles import Base, Hardware, Workflow
from deployments.placement import Standing, ranked
from diffusion.memory.eviction import Worths

MAX_ROWS = 16  # latents in a call; a picture with guidance has two
ROWS = 2
RECENT = 8  # jobs that an average is over


@dataclass(eq=False)
class Job:
    """A workflow on its way."""

    workflow: Workflow
    arrived_s: float
    ended_s: float = 0.0
    steps_left: int = 0

    @property
    def latency_s(self) -> float:
        return self.ended_s - self.arrived_s


@dataclass(eq=False)
class Sampler:
    """A replica that samples: its weights, and the jobs whose steps it makes in turns."""

    clock: Clock
    device: Device
    memory_bytes: float
    most: int  # jobs that it takes at once
    bases: dict[str, Base] = field(default_factory=dict)  # in memory, the last used last
    worths: Worths[str] = field(default_factory=Worths)
    loads: int = 0
    ongoing: int = 0
    job_s: float = 0.0  # how long a job keeps it busy, on average of late
    _since_s: float = 0.0
    _loading: dict[str, list[Then]] = field(default_factory=dict)
    _waiting: list[tuple[Job, Then]] = field(default_factory=list)
    _stepping: bool = False

    def sample(self, job: Job, then: Then) -> None:
        """Call `then` when its last step is done."""
        if not self.ongoing:
            self._since_s = self.clock.now
        self.ongoing += 1
        job.steps_left = job.workflow.steps

        def done() -> None:
            took_s, self._since_s = self.clock.now - self._since_s, self.clock.now
            self.job_s += ((took_s - self.job_s) / RECENT) if self.job_s else took_s
            self.ongoing -= 1
            then()

        def begin() -> None:
            self._waiting.append((job, done))
            self._step()

        self._with(job.workflow.base, begin)

    def holds(self, base: Base) -> bool:
        return base.name in self.bases or base.name in self._loading

    def _with(self, base: Base, then: Then) -> None:
        if base.name in self.bases:
            self._used(base)
            then()
        elif base.name in self._loading:
            self._loading[base.name].append(then)
        else:
            self._loading[base.name] = [then]
            self.loads += 1
            self._make_room(base)
            self.clock.after(base.load_s, lambda: self._loaded(base))

    def _make_room(self, base: Base) -> None:
        busy = {job.workflow.base.name for job, _ in self._waiting}
        room = self.memory_bytes - base.weights_bytes
        while sum(one.weights_bytes for one in self.bases.values()) > room:
            name = self.worths.least(name for name in self.bases if name not in busy)
            if name is None:
                return
            self.worths.gone(name, for_room=True)
            del self.bases[name]

    def _used(self, base: Base) -> None:
        self.bases.pop(base.name, None)
        self.bases[base.name] = base
        self.worths.used(base.name, base.load_s, base.weights_bytes)

    def _loaded(self, base: Base) -> None:
        self._used(base)
        for then in self._loading.pop(base.name):
            then()

    def _step(self) -> None:
        if self._stepping or not self._waiting:
            return
        self._stepping = True
        batch = self._take()
        base = batch[0][0].workflow.base
        pictures = sum(job.workflow.pictures for job, _ in batch)
        steered = sum(job.workflow.pictures for job, _ in batch if job.workflow.control)
        seconds = base.seconds_of_step(pictures) + base.control_s * steered
        self.device.work(seconds, lambda: self._stepped(batch))

    def _take(self) -> list[tuple[Job, Then]]:
        """Who has waited longest, and all others that its call can answer."""
        first, rows = self._waiting[0][0], 0
        batch: list[tuple[Job, Then]] = []
        for entry in self._waiting:
            job = entry[0]
            if job.workflow.base != first.workflow.base:
                continue
            if batch and rows + ROWS * job.workflow.pictures > MAX_ROWS:
                break
            rows += ROWS * job.workflow.pictures
            batch.append(entry)
        taken = set(map(id, batch))
        self._waiting = [entry for entry in self._waiting if id(entry) not in taken]
        return batch

    def _stepped(self, batch: list[tuple[Job, Then]]) -> None:
        self._stepping = False
        ended: list[tuple[Job, Then]] = []
        for entry in batch:
            entry[0].steps_left -= 1
            (self._waiting if entry[0].steps_left else ended).append(entry)
        for _, then in ended:
            then()
        self._step()


@dataclass(eq=False)
class Worker:
    """A replica that does one thing after the other: encodes, upscales ..."""

    device: Device
    _queue: list[tuple[float, Then]] = field(default_factory=list)

    @property
    def ongoing(self) -> int:
        return len(self._queue)

    def work(self, seconds: float, then: Then) -> None:
        self._queue.append((seconds, then))
        if len(self._queue) == 1:
            self._next()

    def _next(self) -> None:
        seconds, then = self._queue[0]

        def done() -> None:
            self._queue.pop(0)
            if self._queue:
                self._next()
            then()

        self.device.work(seconds, done)


Choose = Callable[[list[Sampler], Base, random.Random], Sampler]


def holders_first(samplers: list[Sampler], base: Base, draws: random.Random) -> Sampler:
    """As Serve does with multiplexed models: the less busy of two that hold it, or else of all."""
    holding = [one for one in samplers if one.holds(base) and one.ongoing < one.most] or samplers
    return min(draws.sample(holding, min(2, len(holding))), key=lambda one: one.ongoing)


def at_random(samplers: list[Sampler], _base: Base, draws: random.Random) -> Sampler:
    """Whoever has less to do of two, whatever it holds."""
    return min(draws.sample(samplers, min(2, len(samplers))), key=lambda one: one.ongoing)


def by_cost(samplers: list[Sampler], base: Base, draws: random.Random) -> Sampler:
    """As the service does (deployments/placement.py), which measures what a job adds."""

    def standing(one: Sampler) -> Standing:
        load_s = 0.0 if one.holds(base) else base.load_s
        return Standing(one.ongoing, one.job_s or base.step_s, load_s)

    return ranked(samplers, standing, draws.random)[0]


POLICIES: Mapping[str, Choose] = {
    "by cost": by_cost,
    "multiplexed": holders_first,
    "random": at_random,
}


@dataclass(frozen=True)
class Deployed:
    """Replicas of each stage; `pinned` are samplers that have one base only."""

    pool: list[Sampler]
    pinned: dict[str, list[Sampler]]
    encoders: list[Worker]
    preprocessors: list[Worker]
    upscalers: list[Worker]
    outputs: list[Worker]

    @property
    def samplers(self) -> Iterator[Sampler]:
        yield from self.pool
        for some in self.pinned.values():
            yield from some


class Service:
    """All deployments, on `devices`."""

    def __init__(
        self,
        clock: Clock,
        hardware: Hardware,
        deployed: Deployed,
        draws: random.Random,
        choose: Choose = by_cost,
    ) -> None:
        self._clock = clock
        self._hardware = hardware
        self._deployed = deployed
        self._draws = draws
        self._choose = choose

    def run(self, job: Job, then: Then) -> None:
        """Take a job through its stages."""
        flow, base, own = job.workflow, job.workflow.base, self._deployed
        samplers = own.pinned.get(base.name, own.pool)
        several = flow.pictures

        def encode() -> None:
            _least(own.encoders).work(base.encode_s, hint)

        def hint() -> None:
            _after(flow.hint_s, lambda s, t: _least(own.preprocessors).work(s, t), sample)

        def sample() -> None:
            sampler = self._choose(samplers, base, self._draws)
            sampler.sample(job, lambda: decode(sampler))

        def decode(sampler: Sampler) -> None:
            sampler.device.work(base.decode_s * several, upscale)

        def upscale() -> None:
            work_s = flow.upscale_s * several
            _after(work_s, lambda s, t: _least(own.upscalers).work(s, t), output)

        def output() -> None:
            _least(own.outputs).work(flow.output_s * several, then)

        self._clock.after(self._hardware.overhead_s, encode)


def _least(workers: Iterable[Worker]) -> Worker:
    return min(workers, key=lambda one: one.ongoing)


def _after(seconds: float, work: Callable[[float, Then], None], then: Then) -> None:
    """Work first, where there is any."""
    if seconds:
        work(seconds, then)
    else:
        then()
