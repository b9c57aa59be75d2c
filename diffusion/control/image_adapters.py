"""IP-Adapters' layers as a sampling replica keeps them: in the same budget as its other weights."""

from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch

from diffusion.families.sd.image_prompts import image_prompts
from diffusion.memory.cache import ModelCache, leased
from diffusion.vision.ip_adapter import ImageLayers, load_image_layers
from diffusion.weights import Weights
from graph.values import Model, ModelFile

OpenWeights: TypeAlias = Callable[[ModelFile], Weights]


@dataclass(frozen=True, eq=False)
class ImageAdapters:
    """The IP-Adapters of one replica."""

    open_weights: OpenWeights
    resident: ModelCache[Hashable, Any]
    dtype: torch.dtype
    device: torch.device

    @asynccontextmanager
    async def leased(self, model: Model) -> AsyncIterator[Mapping[ModelFile, ImageLayers]]:
        """Those laid on `model`, in memory until the block ends. Raises BadModelFile."""
        async with AsyncExitStack() as stack:
            loaded: dict[ModelFile, ImageLayers] = {}
            for file in dict.fromkeys(prompt.file for prompt in image_prompts(model.changes)):
                lease = self.resident.lease(("ip_adapter", file), partial(self._load, file))
                loaded[file] = await stack.enter_async_context(leased(lease))
            yield loaded

    def _load(self, file: ModelFile) -> ImageLayers:
        return load_image_layers(self.open_weights(file), dtype=self.dtype, device=self.device)
