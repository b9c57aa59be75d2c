"""ControlNets and similar controls as one job's conditions use them.

(ComfyUI comfy/controlnet.py, ControlBase; comfy/samplers.py)
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.batch.fitting import repeat_to
from diffusion.batch.noise_levels import PercentSchedule
from graph.errors import BadModelFile, ServiceError
from graph.values import Condition, ControlNet, ControlUse, Steering, Vae
from imaging.resize import resize, resize_image


class LoadedControl(Protocol):
    """A network that controls, in memory. Its methods are called by the thread that steps."""

    pools: bool  # whether its residuals are averaged over the picture
    reads_latents: bool  # as hints, and not pictures
    reads_masks: bool  # beside latents: where the hint is a hole

    @property
    def size(self) -> int:
        """Bytes."""

    def misfit(self, model: Any) -> str | None:
        """Why it cannot control a model whose network has such a shape, if so."""

    def prepared(self, picture: Tensor) -> Tensor:
        """A picture [B, H, W, C] as latents are to be made of it, where it reads latents."""

    def guide(self, hint: Tensor, height: int, width: int, net: ControlNet) -> Any:
        """What a hint [B, H, W, C] says of pictures of so many pixels; the same at every step.

        Where it reads latents, `hint` are latents [B, C, h, w] of that size.
        """

    def __call__(self, asked: Sequence[Any]) -> list[Any]:
        """What it says to each of `asked` (asked.py), in a form that its family's networks take."""


def unchanged(picture: Tensor) -> Tensor:
    """A picture as those take it that have no way of their own with it."""
    return picture


Encode: TypeAlias = Callable[[Tensor], Tensor]  # pictures [B, H, W, C] to latents


@dataclass(eq=False)
class ControlNeedsVaeError(ServiceError):
    """A control that goes by latents, and nothing to make them with."""

    status = 422
    code = "control_needs_vae"
    template = "{name} goes by latents: link a VAE to the node that applies it."
    name: str


@dataclass(frozen=True, eq=False)
class Control:
    """One use of a control in one job."""

    use: ControlUse
    loaded: LoadedControl
    batch: int  # pictures in the job
    device: torch.device
    px: int  # pixels of a picture along one pixel of its latent
    first_sigma: float  # applies while first_sigma >= sigma >= last_sigma
    last_sigma: float
    encode: Encode | None = None
    counts: Tensor | None = None  # how much it does for each picture, [B, 1, 1, 1]
    where: Tensor | None = None  # and in which places, [B, 1, H, W]
    guides: dict[tuple[int, int], Any] = field(default_factory=dict)

    def applies(self, sigma: float) -> bool:
        return self.last_sigma <= sigma <= self.first_sigma

    def guide(self, height: int, width: int) -> Any:
        """What the hint says at a latent size, worked out when it is first asked for."""
        size = (height, width)
        if size not in self.guides:
            hint = self.use.hint[: self.batch].to(self.device, torch.float32)
            if self.loaded.reads_latents:
                hint = self._latents(hint, height, width)
            self.guides[size] = self.loaded.guide(
                hint, height * self.px, width * self.px, self.use.net
            )
        return self.guides[size]

    def _latents(self, hint: Tensor, height: int, width: int) -> Tensor:
        """A hint [B, H, W, C] as latents [B, C, h, w], with the mask that is beside it."""
        if self.encode is None:
            raise ControlNeedsVaeError(self.use.net.file.name)
        mask = self.use.mask if self.loaded.reads_masks else None
        hole = None if mask is None else 1.0 - mask.to(hint).reshape(-1, 1, *mask.shape[-2:])
        if hole is not None:
            rows, columns = hint.shape[1:3]
            kept = resize(hole, columns, rows, "bilinear", "center").round()
            hint = hint * kept.movedim(1, -1)
        picture = resize_image(hint, width * self.px, height * self.px, "nearest-exact", "center")
        latents = self.encode(self.loaded.prepared(picture)).to(self.device)
        if hole is None:
            return latents
        beside = resize(hole, width, height, "nearest-exact", "center")
        beside = repeat_to(beside, len(latents))
        frames = beside.reshape(len(latents), 1, *(1,) * (latents.ndim - 4), height, width)
        return torch.cat([latents, frames.expand_as(latents[:, :1])], dim=1)


def steered(
    steering: Steering | None, latent: Tensor, px: int
) -> tuple[Tensor | None, Tensor | None]:
    """How much a control counts for each of a job's latents, and where.

    (Kosinkadink/ComfyUI-Advanced-ControlNet utils.py, calc_latent_keyframe_mults, _prepare_mask)
    """
    counts = where = None
    if steering is not None and steering.latents is not None:
        counts = torch.zeros(len(latent), 1, 1, 1, device=latent.device)
        for place, strength in steering.latents:
            if -len(latent) <= place < len(latent):
                counts[place] = strength
    if steering is not None and steering.mask is not None:
        mask = torch.as_tensor(steering.mask).to(latent.device, torch.float32)
        size = tuple(side * px for side in latent.shape[-2:])
        mask = mask.reshape(-1, 1, *mask.shape[-2:])
        where = functional.interpolate(mask, size=size, mode="bilinear")
        last = where[-1:].expand(max(0, len(latent) - len(where)), -1, -1, -1)
        where = torch.cat([where, last])[: len(latent)]
    return counts, where


def prepare_controls(
    conditions: Iterable[Condition],
    loaded: Mapping[ControlNet, LoadedControl],
    shape: Any,
    sampling: PercentSchedule,
    latent: Tensor,
    *,
    px: int,
    encoders: Mapping[Vae, Encode] = MappingProxyType({}),
) -> dict[ControlUse, Control]:
    """Every use of a control by `conditions`, against a job's latents [B, C, h, w].

    `shape` is that of the model's network, `px` what its latent format says.

    Raises:
        BadModelFile: a network is made for another kind of model.
        ControlNeedsVaeError: a network goes by latents, and there is no VAE to make them.
    """
    controls: dict[ControlUse, Control] = {}
    for use in (use for condition in conditions for use in condition.controls):
        network = loaded[use.net]
        problem = network.misfit(shape)
        if problem:
            raise BadModelFile(use.net.file.folder, use.net.file.name, problem)
        start, end = map(sampling.percent_to_sigma, (use.start_percent, use.end_percent))
        encode = None if use.vae is None else encoders.get(use.vae)
        if network.reads_latents and encode is None:
            raise ControlNeedsVaeError(use.net.file.name)
        counts, where = steered(use.steering, latent, px)
        controls[use] = Control(
            use, network, len(latent), latent.device, px, start, end, encode, counts, where
        )
    return controls
