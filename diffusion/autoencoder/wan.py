"""Wan's autoencoders of videos, 2.1's (which Qwen-Image uses too) and 2.2's, from files."""

from collections.abc import Callable
from itertools import count, takewhile

import torch

from diffusion.autoencoder.kl import PREFIXES
from diffusion.autoencoder.vae import LoadedVae, VaeKind
from diffusion.autoencoder.wan_network import RGB, RGBA, WanAutoencoder, WanVaeShape
from diffusion.networks.filling import copied, fill, size_of
from diffusion.weights import Weights

MARK = "decoder.middle.0.residual.0.gamma"
NESTED = "decoder.upsamples.0.upsamples.0."


def _find(weights: Weights) -> Weights | None:
    parts = (weights.under(prefix) for prefix in PREFIXES)
    return next((part for part in parts if MARK in part), None)


def _load(part: Weights, dtype: torch.dtype, device: torch.device) -> LoadedVae:
    try:
        shape = read_shape(part)
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise part.bad(problem=f"its autoencoder is incomplete: {error}") from error
    with torch.device("meta"):
        module = WanAutoencoder(shape)
    names = {name for name, _ in module.named_parameters()}
    fill(module, part, {key: copied(part[key], dtype, device) for key in part if key in names})
    return LoadedVae(
        module,
        shape.latent_channels,
        shape.downscale,
        dtype,
        device,
        size_of(module),
        frames=shape.frames,
        channels=shape.encoded,
    )


def read_shape(part: Weights) -> WanVaeShape:
    """The shape of the autoencoder in `part`, whose names have no prefix."""
    nested = any(key.startswith(NESTED) for key in part)
    down, up = (_places(half, name, nested=nested) for half, name in HALVES)
    layers = _counted(part, lambda j: f"{down(0, j, 0)}residual.")
    levels = 1 + _counted(part, lambda i: f"{down(i, layers, layers)}resample.")
    halved = [_has(part, f"{down(i, layers, layers)}time_conv.") for i in range(levels - 1)]
    doubled = [_has(part, f"{up(i, layers + 1, layers + 1)}time_conv.") for i in range(levels - 1)]
    if halved != doubled[::-1]:
        problem = f"its encoder halves time at {halved}, its decoder doubles it at {doubled}"
        raise ValueError(problem)
    channels = part.shape("encoder.conv1.weight")[1]
    patch = 1 if channels in (RGB, RGBA) else round((channels / RGB) ** 0.5)
    return WanVaeShape(
        latent_channels=part.shape("conv2.weight")[0],
        encoder=tuple(_width(part, down(i, 0, layers)) for i in range(levels)),
        decoder=tuple(_width(part, up(i, 0, layers + 1)) for i in range(levels))[::-1],
        layers=layers,
        halves_time=tuple(halved),
        nested=nested,
        patch=patch,
        encoded=channels // patch**2,
        decoded=part.shape("decoder.head.2.weight")[0] // patch**2,
    )


HALVES = (("encoder", "downsamples"), ("decoder", "upsamples"))


def _places(half: str, name: str, *, nested: bool) -> Callable[[int, int, int], str]:
    """What layer `j` of level `i` is called, where a level has so many residual layers."""

    def place(i: int, j: int, layers: int) -> str:
        if nested:
            return f"{half}.{name}.{i}.{name}.{j}."
        return f"{half}.{name}.{i * (layers + 1) + j}."

    return place


def _width(part: Weights, layer: str) -> int:
    return part.shape(f"{layer}residual.2.weight")[0]


def _has(part: Weights, start: str) -> bool:
    return any(key.startswith(start) for key in part)


def _counted(part: Weights, start: Callable[[int], str]) -> int:
    return len(list(takewhile(lambda index: _has(part, start(index)), count())))


WAN = VaeKind(_find, _load)
