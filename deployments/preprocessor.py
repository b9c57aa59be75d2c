"""The IMAGE stage: what is done to pictures and masks before and after sampling."""

from collections.abc import AsyncGenerator, Mapping

from deployments.modules import modules_of
from deployments.site import Site
from deployments.stage import Functions, SegmentRunner
from graph.cache import Handle
from graph.events import StepEvent
from graph.plan import Segment
from graph.prompt import Source


class Preprocessor:
    """Picture operations: every function of imaging/ and preprocessors/, by its name."""

    def __init__(self, site: Site) -> None:
        site.placement()
        functions = Functions(*modules_of("imaging", "preprocessors"))
        self._segments = SegmentRunner(lambda _node_id, _report: functions)

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        """Run a segment of this stage."""
        async for event in self._segments.run(segment, inputs):
            yield event
