"""The UPSCALE stage: upscaling models, and frame interpolation."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.metrics.replica_metrics import ReplicaMetrics
from deployments.config import UpscalerConfig
from deployments.event_batches import EventBatch, in_batches
from deployments.site import Site
from deployments.stage import SegmentRunner
from deployments.stage_metrics import StageMetrics
from graph.cache import Handle
from graph.events import Progress
from graph.interpolation import FrameInterpolator, Interpolation
from graph.plan import Segment
from graph.prompt import Source
from graph.segment_run import Report
from graph.stages import Stage
from graph.stages.upscale import UpscaleFunctions
from graph.values import Image, UpscaleModel

if TYPE_CHECKING:
    from diffusion.interpolation.stage import InterpolationStage
    from diffusion.upscaling.stage import UpscaleStage


class Upscaler:
    """Upscaling models and frame interpolation on one device."""

    def __init__(self, site: Site, config: UpscalerConfig) -> None:
        from diffusion.interpolation.stage import (  # noqa: PLC0415 - see deployments/site.py
            InterpolationStage,
        )
        from diffusion.upscaling.stage import UpscaleStage  # noqa: PLC0415 - see deployments/site.py

        stage = UpscaleStage(
            site.opener(), device=site.placement().device, budget_bytes=config.memory_bytes
        )
        frames = InterpolationStage(stage)
        metrics = StageMetrics(Stage.UPSCALE)
        metrics.watch_weights({"model": stage.weights})

        def functions(node_id: str, report: Report, _segment: Segment) -> UpscaleFunctions:
            return NodeUpscaling(stage, frames, node_id, report)

        self.segments = SegmentRunner({Stage.UPSCALE: functions}, metrics, site.watch())

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[EventBatch, None]:
        """Run a segment of this stage."""
        async for batch in in_batches(self.segments.run(segment, inputs)):
            yield batch

    async def metrics(self) -> tuple[ReplicaMetrics, ...]:
        """What this replica has counted."""
        return (self.segments.metrics.snapshot(),)


@dataclass(frozen=True)
class NodeUpscaling:
    """The upscale stage as one node sees it: its tiles are reported under the node's id."""

    stage: "UpscaleStage"
    frames: "InterpolationStage"
    node_id: str
    report: Report

    def tell(self, done: int, of: int) -> None:
        self.report(Progress(self.node_id, done, of))

    async def upscale(self, model: UpscaleModel, image: Image) -> Image:
        return await self.stage.upscale(model, image, self.tell)

    async def interpolate(
        self, model: FrameInterpolator, frames: Image, how: Interpolation
    ) -> Image:
        return await self.frames.interpolate(model, frames, how, self.tell)
