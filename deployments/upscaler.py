"""The UPSCALE stage: upscaling models."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deployments.config import UpscalerConfig
from deployments.site import Site
from deployments.stage import SegmentRunner
from graph.cache import Handle
from graph.events import Progress, StepEvent
from graph.plan import Segment
from graph.prompt import Source
from graph.segment_run import Report
from graph.values import Image, UpscaleModel

if TYPE_CHECKING:
    from diffusion.upscale_stage import UpscaleStage


class Upscaler:
    """Upscaling models on one device."""

    def __init__(self, site: Site, config: UpscalerConfig) -> None:
        from diffusion.upscale_stage import UpscaleStage  # noqa: PLC0415 - see deployments/site.py

        stage = UpscaleStage(
            site.opener(), device=site.placement().device, budget_bytes=config.memory_bytes
        )
        self._segments = SegmentRunner(
            lambda node_id, report: NodeUpscaling(stage, node_id, report)
        )

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        """Run a segment of this stage."""
        async for event in self._segments.run(segment, inputs):
            yield event


@dataclass(frozen=True)
class NodeUpscaling:
    """The upscale stage as one node sees it: its tiles are reported under the node's id."""

    stage: "UpscaleStage"
    node_id: str
    report: Report

    async def upscale(self, model: UpscaleModel, image: Image) -> Image:
        def tell(done: int, of: int) -> None:
            self.report(Progress(self.node_id, done, of))

        return await self.stage.upscale(model, image, tell)
