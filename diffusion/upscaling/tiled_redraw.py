"""Tiled redrawing: encodes, samples and decodes each tile, and pastes it back.

A tile sees what the tiles before it have drawn, so it waits for those in its way; all others are
drawn at once, and tiles of one size share the steps of their sampling.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from diffusion.upscaling.tile_conditions import Cut, cut_conditioning
from graph.errors import ServiceError
from graph.redraw import Drawing, Tiles
from graph.sampling import Guider, Noise, SamplerChoice, SampleRequest
from graph.segment_run import first_cause
from graph.values import Latent, Model, Vae
from imaging.redraw_tiles import (
    Size,
    Tile,
    Tiling,
    cut_out,
    in_the_way,
    paste_back,
    target_size,
    tiles_of,
    upscalings,
)

AT_ONCE = 8  # groups of tiles on their way
DECODED = {"tile": 512, "overlap": 64}  # ComfyUI's VAEDecodeTiled


@dataclass(eq=False)
class UnevenTilesError(ServiceError):
    """Tiles of different sizes that shall be drawn as one batch."""

    status = 422
    code = "uneven_tiles"
    template = "batch_size {batch_size} needs force_uniform_tiles: a batch has tiles of one size."
    batch_size: int


class Drawer(Protocol):
    """The stage that draws."""

    async def encode(self, vae: Vae, image: Tensor) -> Tensor: ...

    async def decode(self, vae: Vae, latent: Latent) -> Tensor: ...

    async def decode_tiled(
        self, vae: Vae, latent: Latent, *, tile: int, overlap: int
    ) -> Tensor: ...

    async def sample(self, request: SampleRequest) -> tuple[Latent, Latent]: ...

    async def sigmas(
        self, model: Model, *, sampler_name: str, scheduler: str, steps: int, denoise: float = 1.0
    ) -> Tensor: ...


async def redraw(
    drawer: Drawer,
    image: Tensor,
    drawing: Drawing,
    tiles: Tiles,
    *,
    factor: float,
    upscaled: Tensor | None = None,
) -> Tensor:
    """Pictures [B, H, W, 3], `factor` times as large, drawn again in tiles.

    `upscaled` are the pictures as an upscaling model made them; without one they are resampled.

    Raises:
        UnevenTilesError, and whatever encoding, sampling and decoding raise.
    """
    if tiles.batch_size > 1 and not tiles.force_uniform_tiles:
        raise UnevenTilesError(tiles.batch_size)
    before = (image.shape[2], image.shape[1])
    target = target_size(before, factor)
    pictures = await asyncio.to_thread(_enlarged, image, upscaled, target)
    plan = await asyncio.to_thread(lambda: list(tiles_of(target, _tiling(tiles))))
    groups = list(_groups(plan, tiles))
    at_once = asyncio.Semaphore(AT_ONCE)
    work = _Redraw(drawer, drawing, pictures, before)
    running: list[asyncio.Task[None]] = []

    async def draw(index: int) -> None:
        earlier = groups[:index]
        await asyncio.gather(
            *(running[k] for k, group in enumerate(earlier) if _blocked(group, groups[index]))
        )
        async with at_once:
            await work.draw(groups[index])

    try:
        async with asyncio.TaskGroup() as together:
            for index in range(len(groups)):
                running.append(together.create_task(draw(index)))
    except BaseExceptionGroup as errors:
        raise first_cause(errors) from errors
    return await asyncio.to_thread(lambda: torch.cat([_tensor(p) for p in work.pictures]))


@dataclass(frozen=True)
class _Redraw:
    """Pictures on their way."""

    drawer: Drawer
    drawing: Drawing
    pictures: list[Image.Image]
    before: Size

    async def draw(self, group: Sequence[Tile]) -> None:
        """Draw tiles of one size as one batch, of every picture."""
        drawing = self.drawing
        cut = await asyncio.to_thread(self._cut_out, group)
        latent = Latent(await self.drawer.encode(drawing.vae, cut))
        sampled = await self._sampled(latent, group)
        if drawing.tiled_decode:
            drawn = await self.drawer.decode_tiled(drawing.vae, sampled, **DECODED)
        else:
            drawn = await self.drawer.decode(drawing.vae, sampled)
        await asyncio.to_thread(self._paste_back, group, drawn)

    async def _sampled(self, latent: Latent, group: Sequence[Tile]) -> Latent:
        drawing = self.drawing
        boxes = tuple(tile.box for tile in group)
        cut = Cut(boxes, self.before, self.pictures[0].size, group[0].size)
        prompts = {"positive": drawing.positive, "negative": drawing.negative}
        own = tuple((name, cut_conditioning(prompt, cut)) for name, prompt in prompts.items())
        guider = Guider("cfg", drawing.model, own, (("cfg", drawing.cfg),))
        sampler, sigmas = drawing.custom_sampler, drawing.custom_sigmas
        if sampler is None or sigmas is None:
            sampler = SamplerChoice(drawing.sampler_name)
            sigmas = await self.drawer.sigmas(
                drawing.model,
                sampler_name=drawing.sampler_name,
                scheduler=drawing.scheduler,
                steps=drawing.steps,
                denoise=drawing.denoise,
            )
        request = SampleRequest(guider, Noise(drawing.seed), sampler, sigmas, latent)
        output, _ = await self.drawer.sample(request)
        return output

    def _cut_out(self, group: Sequence[Tile]) -> Tensor:
        """[pictures * tiles, h, w, 3]"""
        cut = [cut_out(picture, tile) for picture in self.pictures for tile in group]
        return torch.cat([_tensor(each) for each in cut])

    def _paste_back(self, group: Sequence[Tile], drawn: Tensor) -> None:
        places = ((picture, tile) for picture in self.pictures for tile in group)
        for (picture, tile), own in zip(places, drawn, strict=True):
            paste_back(picture, tile, _picture(own))


def _tiling(tiles: Tiles) -> Tiling:
    return Tiling(
        (tiles.tile_width, tiles.tile_height),
        tiles.tile_padding,
        tiles.mask_blur,
        tiles.mode_type,
        tiles.seam_fix_mode,
        tiles.seam_fix_width,
        tiles.seam_fix_mask_blur,
        tiles.seam_fix_padding,
        tiles.force_uniform_tiles,
    )


def _groups(plan: Sequence[Tile], tiles: Tiles) -> Iterator[list[Tile]]:
    """Batches of the first pass, of one colour of the chessboard; seams one by one."""
    group: list[Tile] = []
    for tile in plan:
        full = len(group) >= tiles.batch_size
        if group and (full or not tile.redraw or tile.colour != group[0].colour):
            yield group
            group = []
        group.append(tile)
    if group:
        yield group


def _blocked(earlier: Sequence[Tile], later: Sequence[Tile]) -> bool:
    return any(in_the_way(one, other) for one in earlier for other in later)


def _enlarged(image: Tensor, upscaled: Tensor | None, target: Size) -> list[Image.Image]:
    """The pictures that are drawn upon, in whole bytes as the script has them."""
    before = (image.shape[2], image.shape[1])
    scales = upscalings(before, target)
    if scales and upscaled is not None:
        image, scales = upscaled, []
    pictures = [_picture(each) for each in image]
    for scale in scales:  # the script makes only the first larger step by step
        size = (pictures[0].width * scale, pictures[0].height * scale)
        pictures[0] = pictures[0].resize(size, Image.Resampling.LANCZOS)
    return [picture.resize(target, Image.Resampling.LANCZOS) for picture in pictures]


def _picture(tensor: Tensor) -> Image.Image:
    pixels = (255 * torch.nan_to_num(tensor[..., :3]).cpu().float().numpy()).astype(np.uint8)
    return Image.fromarray(pixels)


def _tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(picture).astype(np.float32) / 255.0)[None]
