"""Autoencoders: pictures to latents and back, as ComfyUI's `VAE` does (comfy/sd.py)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.latent.noise import seeded
from diffusion.weights import Weights
from graph.errors import ServiceError
from graph.values import ModelFile


@dataclass(eq=False)
class LatentVaeMismatchError(ServiceError):
    """A latent of another kind of models than the autoencoder is for."""

    status = 422
    code = "latent_vae_mismatch"
    template = (
        "The latent is {received}, this autoencoder decodes {expected}: "
        "it is for models of another family."
    )
    received: list[int]
    expected: str


@dataclass(eq=False)
class NoVideoVaeError(ServiceError):
    """An autoencoder of pictures where one of videos is needed."""

    status = 422
    code = "no_video_vae"
    template = "The VAE {folder}/{name} is for pictures; this node needs one for videos."
    folder: str
    name: str


class VaeNetwork(Protocol):
    """Pictures [B, 3, H, W] around -1..1 to latents [B, C, h, w] and back.

    Of videos: [B, 3, frames, H, W] and [B, C, T, h, w].
    """

    def encode(self, x: Tensor) -> Tensor: ...

    def decode(self, latent: Tensor) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class LoadedVae:
    """An autoencoder, ready to run."""

    module: VaeNetwork
    latent_channels: int
    downscale: int  # pixels per latent pixel along a side
    dtype: torch.dtype
    device: torch.device
    size: int  # bytes
    decodes_together: bool = False  # whether all latents of a batch are the frames of a video
    frames: int | None = None  # per latent frame but the first, where latents have a time axis
    channels: int = 3  # of the pictures that it takes; an alpha that is not there is 1
    noise: float = 0.0  # how much of what it decodes is noise, mixed in before


@dataclass(frozen=True, eq=False)
class VaeKind:
    """One kind of autoencoders, as it is found in files.

    `find` gives the part of a file that is one, named without prefix; `load` raises BadModelFile.
    """

    find: Callable[[Weights], Weights | None]
    load: Callable[[Weights, torch.dtype, torch.device], LoadedVae]


@torch.inference_mode()
def decode(
    vae: LoadedVae, latent: Tensor, drawn: tuple[int, tuple[int, ...]] | None = None
) -> Tensor:
    """Pictures [B, H, W, 3] in 0..1, float32 on the CPU, of `latent` [B, C, h, w].

    One at a time, so that memory does not grow with the batch, unless they are frames of a video
    that are decoded together. Of videos [B, C, T, h, w], the frames of each after those of the one
    before. Noise that is mixed in comes after that which was `drawn`: a seed, and the shape that
    was drawn with it.

    Raises:
        LatentVaeMismatchError: it is of another kind of models.
    """
    if vae.frames is not None and latent.ndim == 4:
        latent = latent.unsqueeze(2)
    check_latent(vae, latent)
    if vae.noise:
        noise = _next_noise(drawn, latent.shape)
        latent = noise * vae.noise + (1.0 - vae.noise) * latent
    if vae.decodes_together:
        return _decoded(vae, latent)
    return torch.cat([_decoded(vae, item[None]) for item in latent])


def check_of_videos(vae: LoadedVae, file: ModelFile) -> None:
    """Raises NoVideoVaeError for one of pictures."""
    if vae.frames is None:
        raise NoVideoVaeError(file.folder, file.name)


def _next_noise(drawn: tuple[int, tuple[int, ...]] | None, shape: torch.Size) -> Tensor:
    """What ComfyUI's global generator gives when sampling has drawn from it once."""
    seed, before = drawn or (0, ())
    generator = seeded(seed)
    torch.randn(before, generator=generator)
    return torch.randn(shape, generator=generator)


def check_latent(vae: LoadedVae, latent: Tensor) -> None:
    """Raises LatentVaeMismatchError for one that this autoencoder does not decode."""
    axes = 4 if vae.frames is None else 5
    if latent.ndim != axes or latent.shape[1] != vae.latent_channels:
        names = ["batch", str(vae.latent_channels), *["frames"] * (axes - 4), "height", "width"]
        raise LatentVaeMismatchError(list(latent.shape), f"[{', '.join(names)}]")


def _decoded(vae: LoadedVae, latent: Tensor) -> Tensor:
    picture = to_image(vae.module.decode(latent.to(vae.device, vae.dtype)))
    return picture if vae.frames is None else picture.flatten(0, 1)


def to_image(pixels: Tensor) -> Tensor:
    """[B, 3, H, W] around -1..1, as the decoder gives it, to a picture on the CPU.

    Of videos [B, 3, frames, H, W] to [B, frames, H, W, 3].
    """
    return ((pixels.float().cpu() + 1) / 2).clamp(0, 1).movedim(1, -1)


@torch.inference_mode()
def encode(vae: LoadedVae, image: Tensor) -> Tensor:
    """Latents [B, C, h, w], float32 on the CPU, of `image` [B, H, W, 3 or 4] in 0..1.

    The picture is cut, evenly around its middle, to a multiple of what a latent pixel covers.
    Where latents have a time axis, the pictures are the frames of one video: [1, C, T, h, w].
    """
    pixels = cut_to_multiple(with_channels(image, vae.channels), vae.downscale).movedim(-1, 1)
    if vae.frames is not None:
        return _encoded(vae, pixels.movedim(1, 0)[None])
    return torch.cat([_encoded(vae, item[None]) for item in pixels])


def _encoded(vae: LoadedVae, pixels: Tensor) -> Tensor:
    scaled = (pixels * 2 - 1).to(vae.device, vae.dtype)
    return vae.module.encode(scaled).float().cpu()


def with_channels(image: Tensor, channels: int) -> Tensor:
    """`image` [B, H, W, C] with so many channels, those that it lacks opaque."""
    missing = max(0, channels - image.shape[-1])
    return functional.pad(image[..., :channels], (0, missing), value=1.0)


def cut_to_multiple(image: Tensor, side: int) -> Tensor:
    """`image` [B, H, W, C] with H and W brought down to multiples of `side`."""
    height, width = image.shape[1] // side * side, image.shape[2] // side * side
    top, left = image.shape[1] % side // 2, image.shape[2] % side // 2
    return image[:, top : top + height, left : left + width]
