"""The IMAGE stage: what is done to pictures and masks before and after sampling."""

from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any

from api.figures.stage_figures import StageFigures
from deployments.config import PreprocessorConfig
from deployments.modules import modules_of
from deployments.site import Site
from deployments.stage import Functions, SegmentRunner
from deployments.stage_metrics import StageMetrics
from graph.cache import Handle
from graph.events import StepEvent
from graph.node import Stage
from graph.plan import Segment
from graph.prompt import Source

if TYPE_CHECKING:
    from preprocessors.detectors import Detectors


class Preprocessor:
    """Picture operations: every function of imaging/ and preprocessors/, by its name."""

    def __init__(self, site: Site, config: PreprocessorConfig) -> None:
        from deployments.detectors import LoadedDetectors  # noqa: PLC0415 - see deployments/site.py

        detectors = LoadedDetectors(
            site.annotators(), device=site.placement().device, budget_bytes=config.memory_bytes
        )
        hints = ImageFunctions(Functions(*modules_of("imaging", "preprocessors")), detectors)
        metrics = StageMetrics(Stage.IMAGE)
        metrics.watch_weights({"detector": detectors.weights})
        self._segments = SegmentRunner(lambda _node_id, _report: hints, metrics, site.watch())

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        """Run a segment of this stage."""
        async for event in self._segments.run(segment, inputs):
            yield event

    async def figures(self) -> tuple[StageFigures, ...]:
        """What this replica has counted."""
        return (self._segments.metrics.figures(),)


class ImageFunctions:
    """What nodes of this stage are called with: functions, and the networks that some take."""

    def __init__(self, functions: Functions, detectors: "Detectors") -> None:
        self._functions = functions
        self.detectors = detectors

    def __getattr__(self, name: str) -> Any:
        return getattr(self._functions, name)
