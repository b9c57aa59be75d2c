"""The `local` profile: every tensor stage in one process, so that torch is loaded once."""

from collections.abc import AsyncGenerator, Mapping
from typing import Protocol

from api.figures.stage_figures import StageFigures
from deployments.clients import StageClient
from deployments.config import AppConfig
from deployments.loopback import listen_where_ray_does
from deployments.preprocessor import Preprocessor
from deployments.prompt_encoder import PromptEncoder
from deployments.sampler import Sampler
from deployments.site import Site
from deployments.upscaler import Upscaler
from graph.cache import Handle
from graph.events import StepEvent
from graph.plan import Segment
from graph.prompt import Source
from graph.stages import Stage


class CountingStage(StageClient, Protocol):
    """A stage's class, which also tells what it has counted."""

    async def figures(self) -> tuple[StageFigures, ...]: ...


class LocalStages:
    """One object of each stage's class, behind one deployment."""

    def __init__(self, site: Site, config: AppConfig) -> None:
        from diffusion.memory.budget import MemoryBudget  # noqa: PLC0415 - see deployments/site.py

        listen_where_ray_does()

        # One budget for all: a text encoder that is not needed makes room for a model that is.
        memory = MemoryBudget(config.encoder.memory_bytes + config.sampler.memory_bytes)
        self._sampler = Sampler(site, config.sampler, memory=memory)
        self._stages: Mapping[Stage, CountingStage] = {
            Stage.ENCODE: PromptEncoder(site, config.encoder, memory),
            Stage.IMAGE: Preprocessor(site, config.preprocessor),
            Stage.SAMPLE: self._sampler,
            Stage.UPSCALE: Upscaler(site, config.upscaler),
        }

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        """Run a segment of any stage."""
        async for event in self._stages[segment.stage].run(segment, inputs):
            yield event

    async def figures(self) -> tuple[StageFigures, ...]:
        """What the stages of this replica have counted."""
        return tuple([one for stage in self._stages.values() for one in await stage.figures()])

    async def check_health(self) -> None:
        """Serve replaces the replica when this raises."""
        await self._sampler.check_health()
