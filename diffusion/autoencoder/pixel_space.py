"""The identity autoencoder of pixel-space models. (ComfyUI comfy/pixel_space_convert.py)"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from diffusion.autoencoder.vae import LoadedVae, VaeKind
from diffusion.weights import Entry, Weights
from graph.values import PIXEL_SPACE, ModelFile

KEY = "pixel_space_vae"


class Pixels(nn.Module):
    """Pixels in -1..1 are latents, and latents pixels."""

    def encode(self, x: Tensor) -> Tensor:
        return x

    def decode(self, latent: Tensor) -> Tensor:
        return latent


def _find(weights: Weights) -> Weights | None:
    return weights if KEY in weights else None


def _load(_part: Weights, dtype: torch.dtype, device: torch.device) -> LoadedVae:
    return LoadedVae(Pixels(), 3, 1, dtype, device, 0)


def or_pixel_space(open_weights: Callable[[ModelFile], Weights]) -> Callable[[ModelFile], Weights]:
    """As `open_weights`, with what stands for a file where a workflow names none."""
    return lambda file: _weights() if file == PIXEL_SPACE else open_weights(file)


def _weights() -> Weights:
    return Weights(PIXEL_SPACE, {KEY: Entry((), torch.float32)}, lambda _: torch.ones(()))


PIXEL = VaeKind(_find, _load)
