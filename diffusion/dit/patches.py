"""Model patches: networks that add to the picture tokens behind transformer blocks.

They lie on the model, not on a prompt, so all prompts are under them.
(ComfyUI comfy_extras/nodes_model_patch.py)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.batch.controls import Encode
from diffusion.batch.fitting import middle, spread_to
from diffusion.batch.parts import Part
from diffusion.weights import Weights
from graph.values import PatchUse
from imaging.resize import resize, resize_image


@dataclass(frozen=True, eq=False)
class PatchPictures:
    """What a model patch goes by, at the size of one picture."""

    use: PatchUse
    encode: Encode | None  # None where it goes by no pictures
    width: int  # in pixels
    height: int
    device: torch.device

    @property
    def image(self) -> Tensor:
        """What it goes by [B, H, W, 3]; grey where there is none."""
        return self.grey() if self.use.image is None else self._scaled(self.use.image)

    def grey(self) -> Tensor:
        return torch.full((1, self.height, self.width, 3), 0.5, device=self.device)

    def inpainted(self) -> Tensor:
        """The picture that is to be filled in, grey where it is, or all grey."""
        if self.use.inpaint is None:
            return self.grey()
        picture = self._scaled(self.use.inpaint)
        kept = self._kept()
        if kept is None:
            return picture
        kept = resize(kept, self.width, self.height, "bilinear", "center").round()
        return (picture - 0.5) * kept.movedim(1, -1) + 0.5

    def latent(self, picture: Tensor) -> Tensor:
        assert self.encode is not None
        return self.encode(picture).to(self.device, torch.float32)

    def mask(self, latent: Tensor) -> Tensor:
        """[B, 1, ...] at the size of a latent: 1 where the picture counts."""
        kept = self._kept()
        if kept is None:
            return torch.ones_like(latent[:, :1])
        scaled = resize(kept, latent.shape[-1], latent.shape[-2], "bilinear", "disabled")
        return spread_to(scaled, len(latent)).reshape(latent[:, :1].shape)

    def latent_mask(self, latent: Tensor) -> Tensor:
        """[B, 1, h, w] at the size of a latent: 1 where the picture is kept, 0 without a mask."""
        kept = self._kept()
        if kept is None:
            return torch.zeros_like(latent[:, :1])
        aspect = latent.shape[-1] / latent.shape[-2]
        scaled = functional.interpolate(middle(kept, aspect), latent.shape[-2:], mode="nearest")
        return spread_to(scaled, len(latent))

    def _kept(self) -> Tensor | None:
        """[B, 1, H, W]"""
        mask = self.use.mask
        if mask is None:
            return None
        kept: Tensor = 1.0 - mask.to(self.device, torch.float32)
        return kept.reshape(-1, 1, *mask.shape[-2:])

    def _scaled(self, picture: Tensor) -> Tensor:
        own = picture[..., :3].to(self.device, torch.float32)
        return resize_image(own, self.width, self.height, "area", "center")


class LoadedPatch(Protocol):
    """The network of a model patch, in memory."""

    @property
    def size(self) -> int:
        """Bytes."""

    def misfit(self, model: Any) -> str | None:
        """Why it is not for a model of such a shape, if so."""

    def guide(self, pictures: PatchPictures) -> Tensor:
        """What pictures say: tokens [B, T, D]."""


@dataclass(frozen=True, eq=False)
class Behind:
    """A model patch in one call of the network, which knows what its family's patches can do."""

    loaded: Any
    guide: Tensor  # of the pictures of the call
    strength: float

    def __call__(self, index: int, picture: Tensor) -> Tensor:
        """What is added to a picture's tokens [N, T, D] behind a block of the model."""
        added: Tensor = self.loaded(index, picture, self.guide.to(picture)) * self.strength
        return added


@dataclass(frozen=True, eq=False)
class PatchKind:
    """One kind of files of model patches. `load` raises BadModelFile."""

    mine: Callable[[Weights], bool]
    load: Callable[[Weights, torch.dtype, torch.device], LoadedPatch]


@dataclass(frozen=True, eq=False)
class JobPatch:
    """A model patch in one job."""

    loaded: LoadedPatch
    use: PatchUse
    encode: Encode | None
    px: int  # pixels of a picture along one pixel of its latent
    device: torch.device
    guides: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def applies(self, _sigma: float) -> bool:
        """From the first step to the last."""
        return True

    def of_frames(self, _frames: tuple[int, ...]) -> "JobPatch":
        """The same: what it says goes by the places of latents in the job."""
        return self

    def behind(self, parts: Sequence[Part], size: tuple[int, int]) -> Behind:
        """What it does to the pictures of `parts`, whose latents have this height and width."""
        guide = self.guide(*size)
        if len(guide) > 1:
            places = torch.cat([torch.arange(part.start, part.stop) for part in parts])
            guide = guide[(places % len(guide)).to(guide.device)]
        return Behind(self.loaded, guide, self.use.strength)

    def guide(self, height: int, width: int) -> Tensor:
        """Worked out when it is first asked for."""
        size = (height, width)
        if size not in self.guides:
            sides = width * self.px, height * self.px
            pictures = PatchPictures(self.use, self.encode, *sides, self.device)
            self.guides[size] = self.loaded.guide(pictures)
        return self.guides[size]
