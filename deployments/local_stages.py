"""The `local` profile: every tensor stage in one process, so that torch is loaded once."""

from collections.abc import AsyncGenerator, Mapping

from deployments.clients import StageClient
from deployments.config import AppConfig
from deployments.preprocessor import Preprocessor
from deployments.prompt_encoder import PromptEncoder
from deployments.sampler import Sampler
from deployments.site import Site
from deployments.upscaler import Upscaler
from graph.cache import Handle
from graph.events import StepEvent
from graph.node import Stage
from graph.plan import Segment
from graph.prompt import Source


class LocalStages:
    """One object of each stage's class, behind one deployment."""

    def __init__(self, site: Site, config: AppConfig) -> None:
        self._stages: Mapping[Stage, StageClient] = {
            Stage.ENCODE: PromptEncoder(site, config.encoder),
            Stage.IMAGE: Preprocessor(site, config.preprocessor),
            Stage.SAMPLE: Sampler(site, config.sampler),
            Stage.UPSCALE: Upscaler(site, config.upscaler),
        }

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        """Run a segment of any stage."""
        async for event in self._stages[segment.stage].run(segment, inputs):
            yield event
