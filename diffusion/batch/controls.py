"""Control: what ControlNets and T2I-Adapters add inside of the U-Net, for many jobs in one call.

Every row says by its prompt which controls it is under. Rows of one call that share a network are
asked of it together, whatever their hints, strengths and places in a chain; a row without control
gets zeros. (ComfyUI comfy/controlnet.py, ControlBase; comfy/samplers.py)
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import torch
from torch import Tensor

from diffusion.batch.frame import repeat_to
from diffusion.batch.parts import Part
from diffusion.dit.shapes import DitShape
from diffusion.families.sd.shapes import UnetShape
from graph.errors import BadModelFile, ServiceError
from graph.values import Condition, ControlNet, ControlUse, Vae
from imaging.resize import resize, resize_image

if TYPE_CHECKING:
    from diffusion.batch.frame import PercentSchedule


PX = 8  # pixels of a picture along one pixel of its latent
ModelShape: TypeAlias = UnetShape | DitShape


@dataclass(frozen=True, eq=False)
class Residuals:
    """What is added for N pictures, finest level first; empty where nothing is."""

    skips: tuple[Tensor, ...] = ()  # to the skip connections
    middle: Tensor | None = None  # behind the middle block; there if skips are
    blocks: tuple[Tensor, ...] = ()  # behind every down block, and the middle block where one more

    def __add__(self, other: "Residuals") -> "Residuals":
        middles = [middle for middle in (self.middle, other.middle) if middle is not None]
        return Residuals(
            _summed(self.skips, other.skips),
            sum(middles[1:], middles[0]) if middles else None,
            _summed(self.blocks, other.blocks),
        )

    def scaled(self, strength: float, net: ControlNet) -> "Residuals":
        """Times a strength, which "linear_up" gives a lower power the deeper a skip lies."""
        if strength == 1.0:
            return self
        count = len(self.skips)
        powers = range(count, 0, -1) if net.strength_type == "linear_up" else [1] * count
        return Residuals(
            tuple(t * strength**power for t, power in zip(self.skips, powers, strict=True)),
            None if self.middle is None else self.middle * strength,
            tuple(t * strength for t in self.blocks),
        )

    def pooled(self) -> "Residuals":
        """The mean of every channel, everywhere."""
        return Residuals(
            tuple(map(_pooled, self.skips)),
            None if self.middle is None else _pooled(self.middle),
            tuple(map(_pooled, self.blocks)),
        )


class LoadedControl(Protocol):
    """A network that controls, in memory. Its methods are called by the thread that steps."""

    pools: bool  # whether its residuals are averaged over the picture
    reads_latents: bool  # as hints, and not pictures
    reads_masks: bool  # beside latents: where the hint is a hole

    @property
    def size(self) -> int:
        """Bytes."""

    def misfit(self, model: ModelShape) -> str | None:
        """Why it cannot control a model of such a shape, if so."""

    def prepared(self, picture: Tensor) -> Tensor:
        """A picture [B, H, W, C] as latents are to be made of it, where it reads latents."""

    def guide(self, hint: Tensor, height: int, width: int, net: ControlNet) -> Any:
        """What a hint [B, H, W, C] says at a latent size; the same at every step."""

    def __call__(self, asked: Sequence["Asked"]) -> list[Any]:
        """What it says: Residuals for U-Nets, Added for transformers."""


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
    first_sigma: float  # applies while first_sigma >= sigma >= last_sigma
    last_sigma: float
    encode: Encode | None = None
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
            self.guides[size] = self.loaded.guide(hint, height, width, self.use.net)
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
        picture = resize_image(hint, width * PX, height * PX, "nearest-exact", "center")
        latents = self.encode(self.loaded.prepared(picture)).to(self.device)
        if hole is None:
            return latents
        beside = resize(hole, width, height, "nearest-exact", "center")
        return torch.cat([latents, repeat_to(beside, len(latents))], dim=1)


@dataclass(frozen=True, eq=False)
class Asked:
    """What one control is asked about the pictures of one part."""

    place: int  # of the part in the call
    part: Part
    control: Control
    sample: Tensor  # [n, C, h, w], as the network sees it
    timestep: Tensor  # [n]

    @property
    def guide(self) -> Any:
        return self.control.guide(*self.sample.shape[-2:])

    def of(self, tensor: Tensor) -> Tensor:
        """This part's share of a tensor [b, ...] that is cycled over the job's pictures."""
        if len(tensor) == 1:
            return tensor.expand(self.part.count, *tensor.shape[1:])
        places = torch.arange(self.part.start, self.part.stop, device=tensor.device)
        return tensor[places % len(tensor)]


def prepare_controls(
    conditions: Iterable[Condition],
    loaded: Mapping[ControlNet, LoadedControl],
    unet: ModelShape,
    sampling: "PercentSchedule",
    latent: Tensor,
    *,
    encoders: Mapping[Vae, Encode] = MappingProxyType({}),
) -> dict[ControlUse, Control]:
    """Every use of a control by `conditions`, against a job's latents [B, C, h, w].

    Raises:
        BadModelFile: a network is made for another kind of model.
        ControlNeedsVaeError: a network goes by latents, and there is no VAE to make them.
    """
    controls: dict[ControlUse, Control] = {}
    for use in (use for condition in conditions for use in condition.controls):
        network = loaded[use.net]
        problem = network.misfit(unet)
        if problem:
            raise BadModelFile(use.net.file.folder, use.net.file.name, problem)
        start, end = map(sampling.percent_to_sigma, (use.start_percent, use.end_percent))
        encode = None if use.vae is None else encoders.get(use.vae)
        if network.reads_latents and encode is None:
            raise ControlNeedsVaeError(use.net.file.name)
        controls[use] = Control(use, network, len(latent), latent.device, start, end, encode)
    return controls


def added_by_controls(
    parts: Sequence[Part], samples: Sequence[Tensor], timesteps: Tensor
) -> Residuals:
    """What all controls of `parts` add to one call of the U-Net."""
    asked = list(asked_of(parts, samples, timesteps))
    if not asked:
        return Residuals()
    sums = [Residuals() for _ in parts]
    for question, residuals in zip(asked, _answers(asked), strict=True):
        sums[question.place] += residuals
    counts = [part.count for part in parts]
    middle = _beside([() if own.middle is None else (own.middle,) for own in sums], counts)
    return Residuals(
        tuple(_beside([own.skips for own in sums], counts)),
        middle[0] if middle else None,
        tuple(_beside([own.blocks for own in sums], counts)),
    )


def asked_of(
    parts: Sequence[Part], samples: Sequence[Tensor], timesteps: Tensor
) -> Iterator[Asked]:
    """In the order of `parts`, and in that of each one's chain."""
    times = torch.split(timesteps, [part.count for part in parts])
    for place, part in enumerate(parts):
        for control in part.row.prompt.controls:
            if control.applies(float(part.row.sigma)):
                yield Asked(place, part, control, samples[place], times[place])


def _answers(asked: Sequence[Asked]) -> list[Residuals]:
    """One call for each network."""
    answers: dict[int, Residuals] = {}
    places: dict[int, list[int]] = {}
    for index, question in enumerate(asked):
        places.setdefault(id(question.control.loaded), []).append(index)
    for indices in places.values():
        network = asked[indices[0]].control.loaded
        own = network([asked[index] for index in indices])
        answers.update(zip(indices, own, strict=True))
    return [_weighed(answers[index], question) for index, question in enumerate(asked)]


def _weighed(residuals: Residuals, asked: Asked) -> Residuals:
    use = asked.control.use
    pooled = residuals.pooled() if asked.control.loaded.pools else residuals
    return pooled.scaled(use.strength, use.net)


def _beside(residuals: Sequence[tuple[Tensor, ...]], counts: Sequence[int]) -> list[Tensor]:
    """Level by level, all parts; zeros for those that have none."""
    like = next((own for own in residuals if own), ())
    return [
        torch.cat(
            [
                own[level] if own else like[level].new_zeros(count, *like[level].shape[1:])
                for own, count in zip(residuals, counts, strict=True)
            ]
        )
        for level in range(len(like))
    ]


def _summed(first: tuple[Tensor, ...], second: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    if not first or not second:
        return first or second
    return tuple(a + b for a, b in zip(first, second, strict=True))


def _pooled(tensor: Tensor) -> Tensor:
    return tensor.mean(dim=(2, 3), keepdim=True).expand_as(tensor)
