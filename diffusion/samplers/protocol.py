"""The sampler protocol: a generator that requests predictions.

It yields `(x, sigma)` when it needs the model, receives the denoised prediction and returns the
final latent. x is one request's whole latent batch [B, C, ...], sigma a 0-dim float32 tensor on the
CPU (arithmetic on the host, no synchronisation with a GPU). Guidance, batching, masks, progress and
cancellation belong to whoever drives it.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from torch import Tensor

from diffusion.latent.noise import NoiseSource
from diffusion.schedules.model_sampling import ModelSampling


class Midway(NamedTuple):
    """A question asked inside a step. Progress, previews and `denoised_output` skip its answer."""

    x: Tensor
    sigma: Tensor


class Prediction(NamedTuple):
    """The answer to a sampler that wants both: guided, and without the prompt."""

    denoised: Tensor
    uncond: Tensor


@dataclass(frozen=True, eq=False)
class SamplingContext:
    """What a sampler needs besides x and sigmas."""

    noise: NoiseSource
    model_sampling: ModelSampling


Question: TypeAlias = tuple[Tensor, Tensor]
Sampling: TypeAlias = Generator[Question, Tensor, Tensor]
GuidedSampling: TypeAlias = Generator[Question, Prediction, Tensor]


def without_guidance(sampling: GuidedSampling) -> Sampling:
    """A sampler of two predictions, driven by one that stands for both."""
    try:
        question = next(sampling)
        while True:
            denoised = yield question
            question = sampling.send(Prediction(denoised, denoised))
    except StopIteration as end:
        final: Tensor = end.value
    return final


@dataclass(frozen=True)
class SamplerType:
    """A sampler as the driver sees it.

    `function(x, sigmas, context, **options)`; the options are the Sampler* nodes' inputs.
    """

    function: Callable[..., Generator[Question, Any, Tensor]]
    wants_uncond: bool = False  # send it a Prediction, else the denoised tensor
    discards_penultimate_sigma: bool = False  # of a KSampler schedule one step longer
    redraws_inpaint_noise: bool = False  # masked parts get noise of seed + 1, not the initial
    splits: bool = True  # each picture's path is its own, so a batch may be spread over replicas
