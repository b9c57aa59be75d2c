"""Runs autoencoders in tiles, so that memory does not grow with the picture.

A picture is cut into tiles of three shapes (square, tall, wide), whose edges fade into each other
and whose results are averaged. (ComfyUI comfy/utils.py, tiled_scale_multidim; comfy/sd.py,
VAE.decode_tiled_ and VAE.encode_tiled_; nodes.py, VAEDecodeTiled and VAEEncodeTiled.)
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import torch
from torch import Tensor

from diffusion.autoencoder.vae import LoadedVae, check_latent, cut_to_multiple, to_image
from diffusion.autoencoder.video_tiles import decode_video_tiled, encode_video_tiled
from graph.errors import ServiceError

FRAMES, FRAME_OVERLAP = 64, 8  # of a tile of a video, unless a node says it

Work: TypeAlias = Callable[[Tensor], Tensor]  # [1, C, h, w] -> [1, c, h * scale, w * scale]


@dataclass(eq=False)
class TileOverlapError(ServiceError):
    """Tiles that would never get to the end of the picture."""

    status = 422
    code = "tile_overlap"
    template = "Tiles of {tile} cannot overlap by {overlap}: at most a part of {limit} may."
    tile: int
    overlap: int
    limit: int


@dataclass(frozen=True)
class Tiling:
    """Tiles of height by width that overlap by `overlap`; output is `scale` times as large."""

    height: int
    width: int
    overlap: int
    scale: float

    def over(self, x: Tensor, work: Work) -> Tensor:
        """`work` done on each picture of x [B, C, H, W], in tiles where it is larger than one."""
        return torch.cat([self._over_one(item[None], work) for item in x])

    def _over_one(self, x: Tensor, work: Work) -> Tensor:
        height, width = x.shape[-2:]
        if height <= self.height and width <= self.width:
            return work(x)
        total = weights = torch.zeros(())
        for y, left in product(self._starts(height, self.height), self._starts(width, self.width)):
            part = work(x[..., y : y + self.height, left : left + self.width])
            if total.ndim == 0:
                shape = (1, part.shape[1], round(height * self.scale), round(width * self.scale))
                total, weights = torch.zeros(shape), torch.zeros(shape)
            fade = self._fade(part.shape[-2])[:, None] * self._fade(part.shape[-1])
            top, start = round(y * self.scale), round(left * self.scale)
            place = (..., slice(top, top + part.shape[-2]), slice(start, start + part.shape[-1]))
            total[place] += part * fade
            weights[place] += fade
        return total / weights

    def _starts(self, length: int, tile: int) -> list[int]:
        if length <= tile:
            return [0]
        return list(range(0, length - self.overlap, tile - self.overlap))

    def _fade(self, length: int) -> Tensor:
        """Weights [length] that rise from both ends over the overlap, if there is room for it."""
        weights = torch.ones(length)
        feather = round(self.overlap * self.scale)
        if 0 < feather < length:
            ramp = torch.arange(1, feather + 1) / feather
            weights[:feather] *= ramp
            weights[length - feather :] *= ramp.flip(0)
        return weights


@torch.inference_mode()
def decode_tiled(
    vae: LoadedVae,
    latent: Tensor,
    *,
    tile: int,
    overlap: int,
    frames: int = FRAMES,
    frame_overlap: int = FRAME_OVERLAP,
) -> Tensor:
    """Pictures [B, H, W, 3] in 0..1 of `latent` [B, C, h, w].

    `tile` and `overlap` are in picture pixels; the overlap is at most a quarter of the tile.
    Videos are cut in time too, by `frames` and `frame_overlap`.

    Raises:
        LatentVaeMismatchError: the latent is of another kind of models.
    """
    if vae.frames is not None:
        return decode_video_tiled(
            vae, latent, tile=tile, overlap=overlap, frames=frames, frame_overlap=frame_overlap
        )
    check_latent(vae, latent)
    overlap = tile // 4 if tile < overlap * 4 else overlap
    side, overlap = tile // vae.downscale, overlap // vae.downscale

    def work(part: Tensor) -> Tensor:
        return vae.module.decode(part.to(vae.device, vae.dtype)).float().cpu()

    wide, tall, square = _of_three_shapes(side, overlap, vae.downscale, latent, work)
    return to_image((tall + wide + square) / 3.0)


@torch.inference_mode()
def encode_tiled(
    vae: LoadedVae,
    image: Tensor,
    *,
    tile: int,
    overlap: int,
    frames: int = FRAMES,
    frame_overlap: int = FRAME_OVERLAP,
) -> Tensor:
    """Latents [B, C, h, w] of `image` [B, H, W, 3 or 4] in 0..1; sizes are in picture pixels.

    Raises:
        TileOverlapError: tiles that overlap by half or more.
    """
    if overlap >= tile // 2:
        raise TileOverlapError(tile, overlap, tile // 2 - 1)
    if vae.frames is not None:
        return encode_video_tiled(
            vae, image, tile=tile, overlap=overlap, frames=frames, frame_overlap=frame_overlap
        )
    pixels = cut_to_multiple(image[..., :3], vae.downscale).movedim(-1, 1)

    def work(part: Tensor) -> Tensor:
        scaled = (part * 2 - 1).to(vae.device, vae.dtype)
        return vae.module.encode(scaled).float().cpu()

    wide, tall, square = _of_three_shapes(tile, overlap, 1 / vae.downscale, pixels, work)
    return (square + wide + tall) / 3.0


def _of_three_shapes(
    side: int, overlap: int, scale: float, x: Tensor, work: Work
) -> tuple[Tensor, Tensor, Tensor]:
    """`work` over x in wide, tall and square tiles of one area."""
    shapes = ((side // 2, side * 2), (side * 2, side // 2), (side, side))
    wide, tall, square = (Tiling(*shape, overlap, scale).over(x, work) for shape in shapes)
    return wide, tall, square
