"""ControlNets and T2I-Adapters as a replica keeps them: in the same budget as its other weights."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from diffusion.autoencoder.vae import LoadedVae, encode, load_vae
from diffusion.batch.controls import Encode, LoadedControl
from diffusion.families.flux.control_files import load_dit_control
from diffusion.families.registry import LoadedModel
from diffusion.families.sd.controlnet_files import (
    is_control_lora,
    is_difference,
    load_control_lora,
    load_control_net,
)
from diffusion.families.sd.loading import FOR_UNETS, LoadedUnet, find_unet
from diffusion.families.sd.shapes import diffusers_keys
from diffusion.families.sd.t2i_adapter import load_adapter
from diffusion.families.sd3.stability import MARK, load_stability_control
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
    vae_dtype: torch.dtype = torch.float32
    made_of_models: dict[ModelFile, bool] = field(default_factory=dict)  # what is known of files

    @asynccontextmanager
    async def encoders(self, guider: Guider) -> AsyncIterator[Mapping[Vae, Encode]]:
        """What makes latents of hints, in memory until the block ends."""
        async with AsyncExitStack() as stack:
            found: dict[Vae, Encode] = {}
            for vae in vaes_of(guider):
                load = partial(self._load_vae, vae.file)
                lease = self.resident.lease(("vae", vae.file), load)
                found[vae] = partial(encode, await stack.enter_async_context(leased(lease)))
            yield found

    def _load_vae(self, file: ModelFile) -> LoadedVae:
        return load_vae(self.open_weights(file), dtype=self.vae_dtype, device=self.device)

    @asynccontextmanager
    async def leased(
        self, guider: Guider, unet: LoadedModel, unet_key: Hashable
    ) -> AsyncIterator[Mapping[ControlNet, LoadedControl]]:
        """All that the conditions of `guider` are under, in memory until the block ends.

        `unet_key` names the weights of `unet`, for those that are made of them.

        Raises:
            BadModelFile, MissingModelFile: one cannot be made.
        """
        async with AsyncExitStack() as stack:
            loaded: dict[ControlNet, LoadedControl] = {}
            for net in nets_of(guider):
                made_of = unet_key if await self._is_made_of_model(net.file) else net.base
                lease = self.resident.lease(
                    ("control", net.file, made_of), partial(self._load, net, unet)
                )
                loaded[net] = await stack.enter_async_context(leased(lease))
            yield loaded

    async def _is_made_of_model(self, file: ModelFile) -> bool:
        """Whether a control has layers of the model beside its own."""
        known = self.made_of_models.get(file)
        if known is None:
            weights = await asyncio.to_thread(self.open_weights, file)
            known = self.made_of_models[file] = is_control_lora(weights) or MARK in weights
        return known

    def _load(self, net: ControlNet, unet: LoadedModel) -> LoadedControl:
        weights = self.open_weights(net.file)
        dtype, device = self.dtype, self.device
        if is_control_lora(weights):
            if not isinstance(unet, LoadedUnet):
                raise weights.bad(problem=FOR_UNETS)
            base = dict(unet.module.named_parameters())
            return load_control_lora(weights, base, unet.shape, dtype=dtype, device=device)
        if (own := load_stability_control(weights, unet, dtype=dtype, device=device)) is not None:
            return own
        if (control := load_dit_control(weights, dtype=dtype, device=device)) is not None:
            return control
        below = self._base(net.base) if net.base and is_difference(weights) else None
        loaded: LoadedControl | None = load_control_net(
            weights, base=below, dtype=dtype, device=device
        )
        loaded = loaded or load_adapter(weights, dtype=dtype, device=device)
        if loaded is None:
            examples = ", ".join(sorted(weights)[:3])
            problem = f"no ControlNet or T2I-Adapter of a known kind in it, but {examples} ..."
            raise weights.bad(problem=problem)
        return loaded

    def _base(self, file: ModelFile) -> dict[str, Tensor]:
        """The weights of a file's U-Net, under diffusers' names."""
        part, shape = find_unet(self.open_weights(file))
        return {name: part[key] for name, key in diffusers_keys(part, shape).items()}
