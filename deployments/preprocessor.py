"""The IMAGE stage: operations on pictures and masks before and after sampling."""

from collections.abc import AsyncGenerator, Mapping

from api.metrics.replica_metrics import ReplicaMetrics
from deployments.config import PreprocessorConfig
from deployments.event_batches import EventBatch, in_batches
from deployments.site import Site
from deployments.stage import SegmentRunner
from deployments.stage_metrics import StageMetrics
from graph.cache import Handle
from graph.plan import Segment
from graph.prompt import Source
from graph.stages import Stage
from graph.stages.image import ImageFunctions


class Preprocessor:
    """Picture operations: the functions of imaging/ and preprocessors/."""

    def __init__(self, site: Site, config: PreprocessorConfig) -> None:
        from deployments.detectors import LoadedDetectors  # noqa: PLC0415 - see deployments/site.py
        from deployments.image_functions import NodeImaging  # noqa: PLC0415

        library = site.library()
        detectors = LoadedDetectors(
            site.annotators(),
            device=site.placement().device,
            budget_bytes=config.memory_bytes,
            models=library.path,
            find=library.find,
        )
        functions: ImageFunctions = NodeImaging(detectors, config.media_limits)
        metrics = StageMetrics(Stage.IMAGE)
        metrics.watch_weights({"detector": detectors.weights})
        self.segments = SegmentRunner({Stage.IMAGE: lambda *_: functions}, metrics, site.watch())

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[EventBatch, None]:
        """Run a segment of this stage."""
        async for batch in in_batches(self.segments.run(segment, inputs)):
            yield batch

    async def metrics(self) -> tuple[ReplicaMetrics, ...]:
        """What this replica has counted."""
        return (self.segments.metrics.snapshot(),)
