"""Residuals that ControlNets and T2I-Adapters add to the U-Net, batched over jobs.

Every row says by its prompt which controls it is under. Rows of one call that share a network are
asked of it together, whatever their hints, strengths and places in a chain; a row without control
gets zeros. (ComfyUI comfy/controlnet.py, ControlBase)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.batch.asked import Asked, asked_of
from diffusion.batch.parts import Part
from graph.values import ControlNet, Steering


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

    def steered(self, steering: Steering, asked: Asked) -> "Residuals":
        """In some places and pictures alone, and softer the finer."""

        def here(tensor: Tensor) -> Tensor:
            control = asked.control
            if control.counts is not None:
                tensor = tensor * asked.of(control.counts).to(tensor)
            if control.where is None:
                return tensor
            where = asked.of(control.where).to(tensor)
            small = functional.interpolate(where, size=tuple(tensor.shape[-2:]), mode="bilinear")
            return tensor * small

        powers = range(len(self.skips), 0, -1)
        return Residuals(
            tuple(
                here(t) * steering.softness**power
                for t, power in zip(self.skips, powers, strict=True)
            ),
            None if self.middle is None else here(self.middle),
            tuple(map(here, self.blocks)),
        )

    def pooled(self) -> "Residuals":
        """The mean of every channel, everywhere."""
        return Residuals(
            tuple(map(_pooled, self.skips)),
            None if self.middle is None else _pooled(self.middle),
            tuple(map(_pooled, self.blocks)),
        )


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
    scaled = pooled.scaled(use.strength, use.net)
    return scaled if use.steering is None else scaled.steered(use.steering, asked)


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
