"""Loads and caches ControlNets and T2I-Adapters within a sampler's memory budget."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import torch

from diffusion.autoencoder.kinds import load_vae
from diffusion.autoencoder.vae import LoadedVae, encode
from diffusion.batch.controls import Encode, LoadedControl
from diffusion.families.family import ControlKind, ControlSource, LoadedModel
from diffusion.memory.cache import ModelCache, leased
from diffusion.weights import Weights
from graph.sampling import Guider
from graph.values import ControlNet, ModelFile, Vae

OpenWeights: TypeAlias = Callable[[ModelFile], Weights]


def nets_of(guider: Guider) -> list[ControlNet]:
    """All that the conditions of `guider` are under, each once."""
    conditions = (condition for _, conditions in guider.conditionings for condition in conditions)
    return list(dict.fromkeys(use.net for condition in conditions for use in condition.controls))


def vaes_of(guider: Guider) -> list[Vae]:
    """All that make latents of hints, each once."""
    conditions = (condition for _, conditions in guider.conditionings for condition in conditions)
    vaes = (use.vae for condition in conditions for use in condition.controls)
    return list(dict.fromkeys(vae for vae in vaes if vae is not None))


@dataclass(frozen=True, eq=False)
class Controls:
    """The controls of one replica."""

    open_weights: OpenWeights
    resident: ModelCache[Hashable, Any]
    dtype: torch.dtype
    device: torch.device
    kinds: Sequence[ControlKind]
    vae_dtype: torch.dtype = torch.float32
    made_of_models: dict[ModelFile, bool] = field(default_factory=dict)  # what is known of files

    @asynccontextmanager
    async def encoders(self, vaes: Iterable[Vae]) -> AsyncIterator[Mapping[Vae, Encode]]:
        """What makes latents of hints, in memory until the block ends."""
        async with AsyncExitStack() as stack:
            found: dict[Vae, Encode] = {}
            for vae in dict.fromkeys(vaes):
                load = partial(self._load_vae, vae.file)
                lease = self.resident.lease(("vae", vae.file), load)
                found[vae] = partial(encode, await stack.enter_async_context(leased(lease)))
            yield found

    def _load_vae(self, file: ModelFile) -> LoadedVae:
        return load_vae(self.open_weights(file), dtype=self.vae_dtype, device=self.device)

    @asynccontextmanager
    async def leased(
        self, guider: Guider, model: LoadedModel, model_key: Hashable
    ) -> AsyncIterator[Mapping[ControlNet, LoadedControl]]:
        """All that the conditions of `guider` are under, in memory until the block ends.

        `model_key` names the weights of `model`, for those that are made of them.

        Raises:
            BadModelFile, MissingModelFile: one cannot be made.
        """
        async with AsyncExitStack() as stack:
            loaded: dict[ControlNet, LoadedControl] = {}
            for net in nets_of(guider):
                made_of = model_key if await self._is_made_of_model(net.file) else net.base
                lease = self.resident.lease(
                    ("control", net.file, made_of), partial(self._load, net, model)
                )
                loaded[net] = await stack.enter_async_context(leased(lease))
            yield loaded

    async def _is_made_of_model(self, file: ModelFile) -> bool:
        """Whether a control has layers of the model beside its own."""
        known = self.made_of_models.get(file)
        if known is None:
            kind = self._kind(await asyncio.to_thread(self.open_weights, file))
            known = self.made_of_models[file] = kind is not None and kind.made_of_model
        return known

    def _kind(self, weights: Weights) -> ControlKind | None:
        return next((kind for kind in self.kinds if kind.mine(weights)), None)

    def _load(self, net: ControlNet, model: LoadedModel) -> LoadedControl:
        weights = self.open_weights(net.file)
        kind = self._kind(weights)
        if kind is None:
            examples = ", ".join(sorted(weights)[:3])
            problem = f"no ControlNet or T2I-Adapter of a known kind in it, but {examples} ..."
            raise weights.bad(problem=problem)
        base = None if net.base is None else partial(self.open_weights, net.base)
        return kind.load(ControlSource(weights, model, base, self.dtype, self.device))
