"""The `local` profile: all tensor stages in one process, so that torch is loaded once."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import Protocol

from api.metrics.replica_metrics import ReplicaMetrics
from deployments.config import AppConfig
from deployments.event_batches import EventBatch, in_batches
from deployments.loopback import listen_where_ray_does
from deployments.output_encoder import OutputEncoder
from deployments.preprocessor import Preprocessor
from deployments.prompt_encoder import PromptEncoder
from deployments.sampler import Sampler
from deployments.site import Site
from deployments.stage import SegmentRunner
from deployments.upscaler import Upscaler
from graph.cache import Handle
from graph.plan import Segment
from graph.prompt import Source


class RunningStage(Protocol):
    """A stage's class: what runs its segments, and what it has counted."""

    segments: SegmentRunner

    async def metrics(self) -> tuple[ReplicaMetrics, ...]: ...


class LocalStages:
    """One object of each stage's class, behind one deployment."""

    def __init__(self, site: Site, config: AppConfig) -> None:
        from diffusion.memory.budget import MemoryBudget  # noqa: PLC0415 - see deployments/site.py

        listen_where_ray_does()

        # One budget for all: a text encoder that is not needed makes room for a model that is.
        memory = MemoryBudget(config.encoder.memory_bytes + config.sampler.memory_bytes)
        self._sampler = Sampler(site, config.sampler, memory=memory)
        self._stages: tuple[RunningStage, ...] = (
            PromptEncoder(site, config.encoder, memory),
            Preprocessor(site, config.preprocessor),
            self._sampler,
            Upscaler(site, config.upscaler),
            OutputEncoder(site),
        )
        places = {s: place for one in self._stages for s, place in one.segments.places.items()}
        self.segments = replace(self._sampler.segments, places=places)

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[EventBatch, None]:
        """Run a segment of any stages."""
        async for batch in in_batches(self.segments.run(segment, inputs)):
            yield batch

    async def metrics(self) -> tuple[ReplicaMetrics, ...]:
        """What the stages of this replica have counted."""
        return tuple([one for stage in self._stages for one in await stage.metrics()])

    async def check_health(self) -> None:
        """Serve replaces the replica when this raises."""
        await self._sampler.check_health()
