"""Loads and caches IP-Adapter layers within a sampler's memory budget."""

from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch

from diffusion.batch.noise_levels import PercentSchedule
from diffusion.batch.rows import JobImage
from diffusion.families.family import LoadedModel
from diffusion.memory.cache import ModelCache, leased
from diffusion.vision.ip_adapter import ImageLayers, load_image_layers
from diffusion.weights import Weights
from graph.image_prompts import ImagePrompt
from graph.values import Change, Model, ModelFile

OpenWeights: TypeAlias = Callable[[ModelFile], Weights]
IP_ADAPTER = "ip_adapter"
IMAGE_CHANGES = frozenset({IP_ADAPTER})


def image_prompts(changes: Iterable[Change]) -> Iterator[ImagePrompt]:
    """Those that are applied to a model, in order."""
    yield from (change["prompt"] for change in changes if change.kind == IP_ADAPTER)


def prepare_images(
    changes: Iterable[Change],
    weights: Mapping[ModelFile, ImageLayers],
    model: LoadedModel,
    sampling: PercentSchedule,
    batch: int,
) -> tuple[JobImage, ...]:
    """The image prompts applied to a model, for a job of `batch` pictures.

    Raises:
        BadModelFile: an IP-Adapter is made for another kind of model.
    """
    return tuple(
        model.family.image_prompt(prompt, weights[prompt.file], model, sampling, batch)
        for prompt in image_prompts(changes)
    )


@dataclass(frozen=True, eq=False)
class ImageAdapters:
    """The IP-Adapters of one replica."""

    open_weights: OpenWeights
    resident: ModelCache[Hashable, Any]
    dtype: torch.dtype
    device: torch.device

    @asynccontextmanager
    async def leased(self, model: Model) -> AsyncIterator[Mapping[ModelFile, ImageLayers]]:
        """Those applied to `model`, in memory until the block ends. Raises BadModelFile."""
        async with AsyncExitStack() as stack:
            loaded: dict[ModelFile, ImageLayers] = {}
            for file in dict.fromkeys(prompt.file for prompt in image_prompts(model.changes)):
                lease = self.resident.lease(("ip_adapter", file), partial(self._load, file))
                loaded[file] = await stack.enter_async_context(leased(lease))
            yield loaded

    def _load(self, file: ModelFile) -> ImageLayers:
        return load_image_layers(self.open_weights(file), dtype=self.dtype, device=self.device)
