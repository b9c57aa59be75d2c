"""Autoencoders with normalised latents, 2 by 2 pixels packed into channels (Flux.2)."""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffusion.autoencoder.kl import KL
from diffusion.autoencoder.vae import LoadedVae, VaeKind, VaeNetwork
from diffusion.networks.filling import copied
from diffusion.weights import Weights

SIDE = 2  # of what is packed
MEAN, VARIANCE, EPS = "bn.running_mean", "bn.running_var", 1e-4


class PackedAutoencoder(nn.Module):
    """Packs and normalises what another one makes of pictures."""

    mean: Tensor
    std: Tensor

    def __init__(self, inner: VaeNetwork, mean: Tensor, variance: Tensor) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("mean", mean[:, None, None])
        self.register_buffer("std", (variance + EPS).sqrt()[:, None, None])

    def encode(self, x: Tensor) -> Tensor:
        """[B, 4 C, h / 2, w / 2] of `x` [B, 3, H, W] in -1..1."""
        packed = functional.pixel_unshuffle(self.inner.encode(x), SIDE)
        return (packed - self.mean) / self.std

    def decode(self, latent: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] around -1..1."""
        return self.inner.decode(functional.pixel_shuffle(latent * self.std + self.mean, SIDE))


def _find(weights: Weights) -> Weights | None:
    part = KL.find(weights)
    return part if part is not None and (MEAN in part or VARIANCE in part) else None


def _load(part: Weights, dtype: torch.dtype, device: torch.device) -> LoadedVae:
    inner = KL.load(part, dtype, device)
    channels = inner.latent_channels * SIDE**2
    for key in (MEAN, VARIANCE):
        if key not in part:
            raise part.bad(problem=f"its autoencoder is incomplete: {key!r} is missing")
        if part.shape(key) != (channels,):
            raise part.bad(problem=f"the tensor {key!r} is {part.shape(key)}, not ({channels},)")
    statistics = (copied(part[key], torch.float32, device) for key in (MEAN, VARIANCE))
    module = PackedAutoencoder(inner.module, *statistics).to(dtype)
    return replace(inner, module=module, latent_channels=channels, downscale=inner.downscale * SIDE)


PACKED = VaeKind(_find, _load)
