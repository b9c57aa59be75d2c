"""Image prompts of faces: FaceID adapters and InstantID, as the encode stage's nodes use them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from diffusion.vision.face_projections import FaceProjection
from diffusion.vision.ip_adapter import fitted
from graph.faces import Face, Faces, NoFaceError
from graph.image_prompts import FacePictures, ImagePrompt, ImageUse
from graph.values import Image, ModelFile
from imaging.face_alignment import face_crops

See: TypeAlias = Callable[[Image], Awaitable[Tensor]]  # pictures to what an encoder saw
Combine: TypeAlias = Callable[[Tensor, str], Tensor]
BLANK_SIDE = 224
MOST_SEEDS = 1_000_000_007


@dataclass(frozen=True)
class FaceReader:
    """Makes image prompts of faces with one adapter."""

    file: ModelFile
    projection: FaceProjection
    see: See
    combine: Combine

    async def prompt(self, how: FacePictures, use: ImageUse) -> tuple[ImagePrompt, Image]:
        """What an IP-Adapter makes of faces, and the upright pictures of them.

        Raises:
            NoFaceError: a picture has none.
        """
        found = all_of(how.faces)
        who = embeddings(found, unit=self.projection.unit)
        crops = face_crops(
            torch.as_tensor(how.image), [one.points for one in found], self.projection.crop_px
        )
        seen = negative = None
        if self.projection.width is not None:
            seen = await self.see(crops)
            blank = torch.zeros(1, BLANK_SIDE, BLANK_SIDE, 3)
            negative = await self.see(blank if how.negative is None else how.negative)
        if how.combining != "concat" and not use.per_picture and len(who) > 1:
            who = self.combine(who, how.combining)
            seen = None if seen is None else self.combine(seen, how.combining)
        negative = None if negative is None else fitted(negative, len(who))
        return await self._made(who, (seen, negative), use, how.weight), crops

    async def instant(self, how: FacePictures, use: ImageUse) -> ImagePrompt:
        """What InstantID makes of faces; pictures without one are left out.

        Raises:
            NoFaceError: no picture has one.
        """
        each = () if how.faces is None else how.faces.each
        found = tuple(one for one in each if one is not None) or all_of(how.faces)
        who = embeddings(found, unit=False)
        if how.combining != "concat" and len(who) > 1:
            who = self.combine(who, how.combining)
        project = self.projection
        positive = await asyncio.to_thread(project, who, None, 1.0)
        negative = await asyncio.to_thread(project, noise_like(who, how.noise), None, 1.0)
        return ImagePrompt(self.file, positive, negative, None, use)

    async def _made(
        self, who: Tensor, seen: tuple[Any, Any], use: ImageUse, strength: float
    ) -> ImagePrompt:
        project = self.projection
        positive = await asyncio.to_thread(project, who, seen[0], strength)
        negative = await asyncio.to_thread(project, torch.zeros_like(who), seen[1], strength)
        return ImagePrompt(self.file, positive, negative, None, use)


def all_of(faces: Faces | None) -> tuple[Face, ...]:
    """The faces of all pictures. Raises: NoFaceError: one has none."""
    found = []
    for number, face in enumerate((None,) if faces is None else faces.each, 1):
        if face is None:
            name = "image"
            raise NoFaceError(name, number)
        found.append(face)
    return tuple(found)


def embeddings(faces: tuple[Face, ...], *, unit: bool) -> Tensor:
    """Who faces are, [B, 1, 512]; with `unit` of length 1."""
    who = torch.stack([torch.as_tensor(face.embedding).float() for face in faces])[:, None]
    return who / who.norm(dim=-1, keepdim=True).clamp_min(1e-12) if unit else who


def noise_like(who: Tensor, strength: float) -> Tensor:
    """What InstantID holds against a face: nothing, or noise that the face itself seeds."""
    if strength <= 0:
        return torch.zeros_like(who)
    total = torch.sum(who).item()
    dice = torch.Generator().manual_seed(int(total) % MOST_SEEDS)
    return strength * torch.rand(who.shape, generator=dice)
