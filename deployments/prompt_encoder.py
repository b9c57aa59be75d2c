"""The ENCODE stage: text encoders."""

from collections.abc import AsyncGenerator, Mapping

from deployments.config import EncoderConfig
from deployments.site import Site
from deployments.stage import SegmentRunner
from graph.cache import Handle
from graph.events import StepEvent
from graph.plan import Segment
from graph.prompt import Source


class PromptEncoder:
    """Text encoders on one device; prompts of many requests are encoded together."""

    def __init__(self, site: Site, config: EncoderConfig) -> None:
        from diffusion.encode import EncodeStage  # noqa: PLC0415 - see deployments/site.py

        place = site.placement()
        encoders = EncodeStage(
            site.opener(),
            dtype=place.text,
            device=place.device,
            budget_bytes=config.memory_bytes,
            cache_bytes=config.cache_bytes,
        )
        self._segments = SegmentRunner(lambda _node_id, _report: encoders)

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        """Run a segment of this stage."""
        async for event in self._segments.run(segment, inputs):
            yield event
