"""Networks for boxes of text as a replica keeps them: in the same budget as its other weights."""

from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch

from diffusion.batch.grounding import LoadedGrounding
from diffusion.families.family import LoadedModel
from diffusion.memory.cache import ModelCache, leased
from diffusion.weights import Weights
from graph.sampling import Guider
from graph.values import Gligen, ModelFile

OpenWeights: TypeAlias = Callable[[ModelFile], Weights]


def groundings_of(guider: Guider) -> list[Gligen]:
    """All that the conditions of `guider` name, each once."""
    conditions = (condition for _, own in guider.conditionings for condition in own)
    used = (condition.grounding for condition in conditions)
    return list(dict.fromkeys(grounding.net for grounding in used if grounding is not None))


@dataclass(frozen=True, eq=False)
class Groundings:
    """The networks for boxes of one replica."""

    open_weights: OpenWeights
    resident: ModelCache[Hashable, Any]
    dtype: torch.dtype
    device: torch.device

    @asynccontextmanager
    async def leased(
        self, guider: Guider, model: LoadedModel
    ) -> AsyncIterator[Mapping[Gligen, LoadedGrounding]]:
        """All that the conditions of `guider` name, in memory until the block ends.

        Raises:
            BadModelFile, MissingModelFile: one cannot be made, or is for other models.
        """
        async with AsyncExitStack() as stack:
            loaded: dict[Gligen, LoadedGrounding] = {}
            for net in groundings_of(guider):
                load = partial(self._load, net.file, model)
                lease = self.resident.lease(("gligen", net.file), load)
                network = loaded[net] = await stack.enter_async_context(leased(lease))
                if problem := network.misfit(model.module):
                    raise self.open_weights(net.file).bad(problem=problem)
            yield loaded

    def _load(self, file: ModelFile, model: LoadedModel) -> LoadedGrounding:
        return model.family.grounding(self.open_weights(file), self.dtype, self.device)
