"""The arguments that one batched network call gives to its controls."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffusion.batch.controls import Control
from diffusion.batch.parts import Part


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


def asked_of(
    parts: Sequence[Part], samples: Sequence[Tensor], timesteps: Tensor
) -> Iterator[Asked]:
    """In the order of `parts`, and in that of each one's chain."""
    times = torch.split(timesteps, [part.count for part in parts])
    for place, part in enumerate(parts):
        for control in part.row.prompt.controls:
            if control.applies(float(part.row.sigma)):
                yield Asked(place, part, control, samples[place], times[place])
