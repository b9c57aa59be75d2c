"""Autoencoders of videos in tiles of frames, rows and columns, whose edges fade into each other.

(ComfyUI comfy/utils.py, tiled_scale_multidim; comfy/sd.py, VAE.decode_tiled and VAE.encode_tiled)
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from diffusion.autoencoder.vae import (
    LoadedVae,
    check_latent,
    cut_to_multiple,
    to_image,
    with_channels,
)


@dataclass(frozen=True)
class Axis:
    """One side of what is cut: a tile's length and overlap, and what becomes of lengths."""

    tile: int
    overlap: int
    length: Callable[[int], int]  # of what is given, of what comes of it
    place: Callable[[int], int]  # where a tile that begins there is laid

    def starts(self, length: int) -> list[int]:
        if length <= self.tile:
            return [0]
        return list(range(0, length - self.overlap, self.tile - self.overlap))

    def fade(self, length: int) -> Tensor:
        """Weights [length] that rise from both ends over the overlap, if there is room for it."""
        weights = torch.ones(length)
        feather = self.length(self.overlap)
        if 0 < feather < length:
            ramp = torch.arange(1, feather + 1) / feather
            weights[:feather] *= ramp
            weights[length - feather :] *= ramp.flip(0)
        return weights


def in_tiles(x: Tensor, axes: tuple[Axis, Axis, Axis], work: Callable[[Tensor], Tensor]) -> Tensor:
    """`work` over x [1, C, T, h, w], tile by tile."""
    sides = x.shape[2:]
    if all(side <= axis.tile for side, axis in zip(sides, axes, strict=True)):
        return work(x)
    total = weights = torch.zeros(())
    for starts in product(*(axis.starts(s) for axis, s in zip(axes, sides, strict=True))):
        cut = [slice(start, start + axis.tile) for start, axis in zip(starts, axes, strict=True)]
        part = work(x[:, :, cut[0], cut[1], cut[2]])
        if total.ndim == 0:
            lengths = [axis.length(side) for axis, side in zip(axes, sides, strict=True)]
            total, weights = (torch.zeros(1, count, *lengths) for count in (part.shape[1], 1))
        fades = [axis.fade(length) for axis, length in zip(axes, part.shape[2:], strict=True)]
        fade = fades[0][:, None, None] * fades[1][:, None] * fades[2]
        at = [axis.place(start) for axis, start in zip(axes, starts, strict=True)]
        window = [slice(a, a + n) for a, n in zip(at, part.shape[2:], strict=True)]
        total[:, :, window[0], window[1], window[2]] += part * fade
        weights[:, :, window[0], window[1], window[2]] += fade
    return total / weights


@torch.inference_mode()
def decode_video_tiled(
    vae: LoadedVae, latent: Tensor, *, tile: int, overlap: int, frames: int, frame_overlap: int
) -> Tensor:
    """The frames [B * T, H, W, 3] of videos [B, C, T, h, w]; sizes are in pixels and frames."""
    latent = latent.unsqueeze(2) if latent.ndim == 4 else latent
    check_latent(vae, latent)
    step, px = vae.frames or 1, vae.downscale
    overlap = tile // 4 if tile < overlap * 4 else overlap
    frame_overlap = frame_overlap // 2 if frames < frame_overlap * 2 else frame_overlap
    long = max(2, frames // step)
    time = Axis(
        long,
        max(1, min(long // 2, frame_overlap // step)),
        lambda n: max(0, (n - 1) * step + 1),
        lambda n: n * step,
    )
    side = Axis(tile // px, overlap // px, lambda n: n * px, lambda n: n * px)

    def work(part: Tensor) -> Tensor:
        return vae.module.decode(part.to(vae.device, vae.dtype)).float().cpu()

    videos = [in_tiles(video[None], (time, side, side), work) for video in latent]
    return to_image(torch.cat(videos)).flatten(0, 1)


@torch.inference_mode()
def encode_video_tiled(
    vae: LoadedVae, image: Tensor, *, tile: int, overlap: int, frames: int, frame_overlap: int
) -> Tensor:
    """The latent [1, C, T, h, w] of the frames [T, H, W, 3 or 4] of one video."""
    step, px = vae.frames or 1, vae.downscale

    def latents(n: int) -> int:
        return max(0, (n + step - 1) // step)

    def whole(n: int) -> int:
        return max(0, (n - 1) * step + 1)

    long = max(2, latents(frames))
    time = Axis(
        whole(long),
        whole(max(1, min(long // 2, latents(frame_overlap)))),
        latents,
        lambda n: round(n / step),
    )
    side = Axis(tile, overlap, lambda n: round(n / px), lambda n: round(n / px))
    pixels = cut_to_multiple(with_channels(image, vae.channels), px).movedim(-1, 0)[None]

    def work(part: Tensor) -> Tensor:
        scaled = (part * 2 - 1).to(vae.device, vae.dtype)
        return vae.module.encode(scaled).float().cpu()

    return in_tiles(pixels[:, :, : whole(latents(pixels.shape[2]))], (time, side, side), work)
