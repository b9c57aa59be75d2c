"""Model patches: networks that add to a picture's tokens behind the blocks of a transformer.

They lie on the model, not on a prompt, so all prompts are under them.
(ComfyUI comfy_extras/nodes_model_patch.py)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from diffusion.batch.controls import Encode
from diffusion.batch.fitting import spread_to
from diffusion.batch.parts import Part
from diffusion.weights import Weights
from graph.values import PatchUse
from imaging.resize import resize, resize_image

# The index of a block and the picture's tokens [N, T, D] behind it; gives what is added to them.
Behind: TypeAlias = Callable[[int, Tensor], Tensor]


class LoadedPatch(Protocol):
    """The network of a model patch, in memory."""

    reads_masks: bool

    @property
    def size(self) -> int:
        """Bytes."""

    def misfit(self, model: Any) -> str | None:
        """Why it is not for a model of such a shape, if so."""

    def guide(self, latent: Tensor) -> Tensor:
        """What a picture's latent, with the mask behind it, says: tokens [B, T, D]."""

    def __call__(self, index: int, picture: Tensor, guide: Tensor) -> Tensor:
        """What is added to a picture's tokens behind a block of the model."""


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
    encode: Encode
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

        def added(index: int, picture: Tensor) -> Tensor:
            return self.loaded(index, picture, guide.to(picture)) * self.use.strength

        return added

    def guide(self, height: int, width: int) -> Tensor:
        """Worked out when it is first asked for."""
        size = (height, width)
        if size not in self.guides:
            picture = self.use.image[..., :3].to(self.device, torch.float32)
            scaled = resize_image(picture, width * self.px, height * self.px, "area", "center")
            latent = self.encode(scaled).to(self.device, torch.float32)
            if self.loaded.reads_masks:
                latent = torch.cat([latent, self._mask(latent)], dim=1)
            self.guides[size] = self.loaded.guide(latent)
        return self.guides[size]

    def _mask(self, latent: Tensor) -> Tensor:
        """[B, 1, ...]: 1 where the picture counts."""
        mask = self.use.mask
        if mask is None:
            return torch.ones_like(latent[:, :1])
        kept = 1.0 - mask.to(latent).reshape(-1, 1, *mask.shape[-2:])
        scaled = resize(kept, latent.shape[-1], latent.shape[-2], "bilinear", "disabled")
        return spread_to(scaled, len(latent)).reshape(latent[:, :1].shape)
