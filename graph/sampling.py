"""Descriptions of how to sample: what a sampler node says to the stage that runs it."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeAlias

from graph.values import Conditioning, Latent, Link, Model, Tensor

Sigmas: TypeAlias = Annotated[Any, Link("SIGMAS")]  # [steps + 1], float32, falling


@dataclass(frozen=True)
class SamplerChoice:
    """A sampler by name, with the options that differ from its defaults."""

    link: ClassVar = Link("SAMPLER")
    name: str
    options: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Noise:
    """Gaussian noise from a seed, drawn per picture on the CPU; `seed` None is no noise at all.

    `sampler_seed` is for the noise that a sampler adds on its way, where that is not `seed`.
    """

    link: ClassVar = Link("NOISE")
    seed: int | None
    sampler_seed: int | None = None


@dataclass(frozen=True, eq=False)
class Guider:
    """How predictions are combined. `kind` names a function of diffusion/guidance.py."""

    link: ClassVar = Link("GUIDER")
    kind: str
    model: Model
    conditionings: tuple[tuple[str, Conditioning], ...]  # ("positive", ...), ("negative", ...)
    scales: tuple[tuple[str, float], ...] = ()  # ("cfg", 7.0)


@dataclass(frozen=True, eq=False)
class SampleRequest:
    """One run of a sampler over one latent batch."""

    guider: Guider
    noise: Noise
    sampler: SamplerChoice
    sigmas: Tensor
    latent: Latent
    node_id: str = ""  # whose progress this is
