"""The SAMPLE stage: diffusion models and autoencoders."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from api.metrics.replica_metrics import ReplicaMetrics
from deployments.config import SamplerConfig
from deployments.cost_router import JobTimes, routing_stats
from deployments.event_batches import EventBatch, in_batches
from deployments.site import Site
from deployments.stage import SegmentRunner
from deployments.stage_metrics import StageMetrics
from graph.cache import Handle
from graph.plan import Segment
from graph.prompt import Source
from graph.segment_run import Report
from graph.stages import Stage
from graph.stages.sample import SampleFunctions
from graph.values import Model

if TYPE_CHECKING:
    from diffusion.memory.budget import MemoryBudget


class Sampler:
    """Base models on one device, stepping requests that share weights together.

    A sampler pinned to a base loads it when it starts, another one what its `config` names.
    """

    def __init__(
        self,
        site: Site,
        config: SamplerConfig,
        base: str = "",
        memory: "MemoryBudget | None" = None,
    ) -> None:
        from diffusion.engine.stage import SampleStage  # noqa: PLC0415
        from diffusion.lora.applying import Loras  # noqa: PLC0415
        from diffusion.lora.merging import WEIGHT_CHANGES, WeightChanges  # noqa: PLC0415
        from diffusion.memory.budget import MemoryBudget  # noqa: PLC0415
        from diffusion.networks.compiling import Regions  # noqa: PLC0415 - see deployments/site.py

        place = site.placement()
        open_weights = site.opener()
        families = site.families()
        metrics = StageMetrics(Stage.SAMPLE)
        loras = Loras(open_weights, budget_bytes=config.lora_bytes)
        self._stage = SampleStage(
            open_weights,
            device=place.device,
            dtype=place.diffusion,
            vae_dtype=place.vae,
            memory=memory or MemoryBudget(config.memory_bytes),
            max_rows=config.max_rows,
            batching=config.batching,
            mix_loras=config.mix_loras,
            weight_changes=WEIGHT_CHANGES,
            apply_changes=WeightChanges(open_weights, loras, families).on_model,
            called=metrics.calls(),
            regions=Regions() if config.compile else None,
            families=families,
        )
        metrics.watch_weights({"model": self._stage.weights})
        metrics.watch_waiting(lambda: self._stage.jobs)
        self.segments = SegmentRunner({Stage.SAMPLE: self._functions}, metrics, site.watch())
        bases = [Model(site.find(name)) for name in ((base,) if base else config.warm_bases)]
        self._warming = asyncio.ensure_future(self._warm(bases, config)) if bases else None

    def _functions(self, node_id: str, report: Report, _segment: Segment) -> SampleFunctions:
        from deployments.sample_functions import NodeSampling  # noqa: PLC0415 - see deployments/site.py

        return NodeSampling(self._stage, node_id, report)

    async def _warm(self, bases: Iterable[Model], config: SamplerConfig) -> None:
        from diffusion.engine.warming import WarmSize  # noqa: PLC0415 - see deployments/site.py

        sizes = [WarmSize(size.width, size.height, size.rows) for size in config.warm_sizes]
        for model in bases:
            await self._stage.warm(model, sizes)

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[EventBatch, None]:
        """Run a segment of this stage."""
        async for batch in in_batches(self.segments.run(segment, inputs)):
            yield batch

    async def metrics(self) -> tuple[ReplicaMetrics, ...]:
        """What this replica has counted."""
        return (self.segments.metrics.snapshot(),)

    async def check_health(self) -> None:
        """Serve replaces the replica when this raises, and has none ready before it once did not.

        So no request meets a model that is being warmed.
        """
        if self._warming is not None:
            await asyncio.shield(self._warming)
        self._stage.check_health()


class PooledSampler(Sampler):
    """A sampler among several, none of them pinned: it tells what it holds, and how fast it is."""

    def __init__(
        self,
        site: Site,
        config: SamplerConfig,
        base: str = "",
        memory: "MemoryBudget | None" = None,
    ) -> None:
        super().__init__(site, config, base, memory)
        self._times = JobTimes()

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[EventBatch, None]:
        """Run a segment of this stage."""
        self._times.begun()
        try:
            async for batch in super().run(segment, inputs):
                yield batch
        finally:
            self._times.ended()

    async def record_routing_stats(self) -> dict[str, Any]:
        """What the next segments are placed by (deployments/cost_router.py)."""
        weights = self._stage.weights
        return routing_stats(self._times, weights.resident(), weights.load_seconds())
