"""Clients of the stages: the only file that calls a deployment."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, aclosing, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, cast

from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    RayActorError,
    RayError,
    RayTaskError,
)
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

from api.jobs.event_hub import Delivery
from api.jobs.events import Happened
from api.metrics.replica_metrics import ReplicaMetrics
from deployments.event_batches import EventBatch
from deployments.transport import load, stored_calls, to_numpy
from deployments.watches import SegmentWatch
from graph.cache import Handle, ResultLostError
from graph.errors import ServiceError
from graph.events import Done, Expanded, FileMade, StepEvent
from graph.new_files import NewFile
from graph.node import NodeType
from graph.plan import Segment
from graph.prompt import Source
from graph.segment_run import StageWork, run_segment
from graph.stages import PACK, Stage
from packs.pages import PageAnswer, PageRequest

METRICS_S = 2.0  # how long /metrics waits for replicas


@dataclass(eq=False)
class StageBusyError(ServiceError):
    """Every replica of a stage has as much as it may hold."""

    status = 503
    code = "service_full"
    template = "The stage {stage!r} is full; try again shortly."
    stage: str


class StageClient(Protocol):
    """One deployment. The outputs in `Done` are Handles."""

    def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]: ...


class ReplicasClient(StageClient, Protocol):
    """One deployment, which may have several replicas."""

    @property
    def idle(self) -> int:
        """Replicas without work, as far as is known here."""

    async def metrics(self) -> tuple[ReplicaMetrics, ...]:
        """What the replicas have counted."""


class DeploymentClient:
    """A deployment called by handle, raising the replica's own exceptions.

    `by_base` tells Serve the base model of a segment, which it is placed by (cost_router.py), but
    for parts of a batch, which go to whoever has least to do; `replicas` is how many there are.
    """

    def __init__(
        self, handle: DeploymentHandle[Any], *, by_base: bool = False, replicas: int = 1
    ) -> None:
        self._all = handle
        self._handle = handle.options(stream=True)
        self._by_base = by_base
        self._replicas = replicas
        self._in_flight = 0
        self._placing = asyncio.Lock()

    @property
    def idle(self) -> int:
        """Replicas without work of this process, if each of its segments is on another."""
        return max(0, self._replicas - self._in_flight)

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        self._in_flight += 1
        try:
            async with aclosing(self._events(segment, inputs)) as events:
                if segment.is_part:
                    async with self._placing:  # the next goes elsewhere once this one has begun
                        first = await anext(events, None)
                    if first is not None:
                        yield first
                async for event in events:
                    yield event
        finally:
            self._in_flight -= 1

    async def metrics(self) -> tuple[ReplicaMetrics, ...]:
        """What the replicas have counted; nothing of those that do not answer in time."""
        try:
            async with asyncio.timeout(METRICS_S):
                asked = self._all.broadcast("metrics")
                answers = await asked.results_async(return_exceptions=True)
        except (TimeoutError, RayError, RayServeException):
            return ()
        known = (answer for answer in answers if not isinstance(answer, BaseException))
        return tuple(metrics for answer in known for metrics in answer)

    async def _events(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        handle = self._handle
        if self._by_base and segment.base and not segment.is_part:
            handle = handle.options(multiplexed_model_id=segment.base)
        response = cast(DeploymentResponseGenerator[EventBatch], handle.run.remote(segment, inputs))
        ended = False
        try:
            async for batch in response:
                # A replica of the version before sends each alone, while the service is updated.
                for event in batch if isinstance(batch, tuple) else (batch,):
                    yield event
            ended = True
        except RayTaskError as error:  # its str is the remote traceback: for logs, not callers
            raise error.cause from error
        except (ActorDiedError, ActorUnavailableError, RayActorError) as error:
            raise ResultLostError(segment.stage) from error
        except BackPressureError as error:
            raise StageBusyError(segment.stage) from error
        finally:  # a caller that goes away frees the replica at once
            if not ended:
                with suppress(RayActorError):
                    response.cancel()


class PackClient(DeploymentClient):
    """A custom node pack, which also describes its node types and answers hooks."""

    async def describe(self, known: str) -> Any:
        return await self._all.describe.remote(known)

    async def hook(
        self, do: str, class_type: str, inputs: Mapping[str, Any], types: Mapping[str, str]
    ) -> Any:
        """What a hook of a class says. Raises what it raised."""
        try:
            return await self._all.hook.remote(do, class_type, inputs, types)
        except RayTaskError as error:
            raise error.cause from error

    async def route(self, owner: str, request: PageRequest) -> PageAnswer:
        """What a route of the pack answers. Raises ServiceError."""
        try:
            return cast(PageAnswer, await self._all.route.remote(owner, request))
        except RayTaskError as error:
            raise error.cause from error


class HubClient:
    """The event hub, called by handle."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self._handle = handle
        self._streams = handle.options(stream=True)

    async def publish(self, replica: str, happened: Sequence[Happened]) -> None:
        await self._handle.publish.remote(replica, happened)

    async def subscribe(
        self, replica: str, owners: Sequence[str]
    ) -> AsyncGenerator[Delivery, None]:
        response = cast(
            DeploymentResponseGenerator[Delivery], self._streams.subscribe.remote(replica, owners)
        )
        try:
            async for delivery in response:
                yield delivery
        finally:
            with suppress(RayActorError):
                response.cancel()

    async def follow(self, replica: str, owner: str) -> None:
        await self._handle.follow.remote(replica, owner)

    async def leave(self, replica: str, owner: str) -> None:
        await self._handle.leave.remote(replica, owner)


@dataclass(frozen=True)
class StageClients:
    """Which client runs a segment: the stage's, and among samplers the one pinned to its base."""

    stages: Mapping[Stage, ReplicasClient]
    pinned: Mapping[str, ReplicasClient] = field(default_factory=dict)

    @cached_property
    def hosts(self) -> Mapping[Stage, Stage]:
        """For each stage that shares its deployment with others, a name for all of them."""
        sharing: dict[int, list[Stage]] = {}
        for stage, client in self.stages.items():
            sharing.setdefault(id(client), []).append(stage)
        named = {Stage("+".join(sorted(some))): some for some in sharing.values() if len(some) > 1}
        return {stage: name for name, some in named.items() for stage in some}

    def serves(self, stage: Stage) -> bool:
        """Whether a deployment runs the nodes of a stage; else this process does."""
        return stage in self.stages or stage in self.hosts.values()

    def of(self, segment: Segment) -> StageClient:
        if segment.stage == Stage.SAMPLE:
            return self._sampler(segment.base)
        first = segment.stage.partition("+")[0]  # of those that share a deployment
        return self.stages[Stage(first)]

    def idle_samplers(self, base: str) -> int:
        """How many samplers for `base` could begin at once."""
        return self._sampler(base).idle

    async def metrics(self) -> tuple[ReplicaMetrics, ...]:
        """What all replicas have counted; twice where one deployment has several stages."""
        clients = dict.fromkeys((*self.stages.values(), *self.pinned.values()))
        merged = await asyncio.gather(*(client.metrics() for client in clients))
        return tuple(metrics for some in merged for metrics in some)

    def _sampler(self, base: str) -> ReplicasClient:
        return self.pinned.get(base) or self.stages[Stage.SAMPLE]


class JobWork:
    """What runs in the router itself: INLINE nodes that wait for a tensor stage, and outputs."""

    def __init__(self, place: Callable[[str], object]) -> None:
        self._place = place

    def for_node(self, stage: Stage, node_id: str, report: object) -> object:  # noqa: ARG002 - outputs do not progress
        return self._place(node_id)

    async def call(self, function: Callable[[], Any]) -> Any:
        return function()


@dataclass(frozen=True)
class JobStages:
    """The stages as one job reaches them: remote ones by client, the router's own right here."""

    clients: StageClients
    node_types: Mapping[str, NodeType]
    work: StageWork
    watches: tuple[SegmentWatch, ...] = ()
    owner: str = ""
    encoding: Any = None  # how files are written (storage/pictures.py, Encoding)
    keep: Callable[[NewFile, str], Awaitable[Any]] | None = None  # stores a file of a node
    hidden_values: Mapping[str, Any] = field(default_factory=dict)  # of the job, by Hidden
    _kept: Counter[str] = field(default_factory=Counter)  # files, by step

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        with ExitStack() as stack:
            heard = [stack.enter_context(watch(segment)) for watch in self.watches]
            trace = "".join(one.trace for one in heard)
            known = replace(
                segment,
                trace=trace,
                owner=self.owner,
                encoding=self.encoding,
                hidden_values=self._hidden_values(segment),
            )
            made: Counter[str] = Counter()
            async with aclosing(self._events(known, inputs)) as events:
                async for event in events:
                    for one in heard:
                        one.hear(event)
                    if isinstance(event, FileMade):
                        await self._keep(event, segment, made)
                    else:
                        yield event

    def _hidden_values(self, segment: Segment) -> Mapping[str, Any]:
        """What nodes of a segment want to know of the job: a prompt may be large."""
        if segment.stage.startswith(PACK):
            return self.hidden_values
        types = (self.node_types[step.class_type] for step in segment.steps)
        wanted = {mark for known in types for mark in known.hidden.values()}
        return {mark: value for mark, value in self.hidden_values.items() if mark in wanted}

    async def _keep(self, event: FileMade, segment: Segment, made: Counter[str]) -> None:
        """Store a file; not again where the segment was lost after it, and is run once more."""
        made[event.step] += 1
        if self.keep is None or made[event.step] <= self._kept[event.step]:
            return
        class_type = next(s.reported_class for s in segment.steps if s.node_id == event.step)
        file = event.file
        try:
            if isinstance(file.content, Handle):
                file = replace(file, content=await load(file.content, _as_it_is))
            if isinstance(file.poster, Handle):
                file = replace(file, poster=await load(file.poster, _as_it_is))
            await self.keep(file, event.node_id)
        except ResultLostError:
            raise
        except ServiceError as error:
            raise error.at(event.node_id, class_type) from error
        self._kept[event.step] += 1

    def _events(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        if self.clients.serves(segment.stage):
            return self.clients.of(segment).run(segment, inputs)
        return self.run_here(segment, inputs)

    async def run_here(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        # What is only passed on stays an Array, so that a stage can make a tensor of it again.
        unpack = to_numpy if segment.stage == Stage.OUTPUT else _as_it_is
        values = {link: await load(handle, unpack) for link, handle in inputs.items()}
        async for event in run_segment(segment, values, self.node_types, self.work):
            if isinstance(event, Done) and event.outputs is not None:
                yield replace(event, outputs=tuple(map(Handle, event.outputs)))
            elif isinstance(event, Expanded):
                yield replace(event, calls=stored_calls(event.calls, Handle))
            else:
                yield event


def _as_it_is(value: Any) -> Any:
    return value
