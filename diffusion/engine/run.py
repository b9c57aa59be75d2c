"""One sampling run: the generator that the step engine drives."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from diffusion.batch.rows import Asking
from diffusion.engine.engine import Track
from diffusion.guidance.guided import Guided, Guider
from diffusion.guidance.model_changes import MaskFunction
from diffusion.samplers.protocol import Midway, Prediction, SamplerType, SamplingContext
from diffusion.schedules.model_sampling import ModelSampling


@dataclass(frozen=True, eq=False)
class Inpainting:
    """Which parts of a latent are made anew; the others are held to the original at every step.

    (ComfyUI comfy/samplers.py, KSamplerX0Inpaint)
    """

    mask: Tensor  # [B, C, h, w], 1 where to denoise
    latent: Tensor
    noise: Tensor | None  # None where what is kept is seen without any
    mask_at: MaskFunction | None = None


@dataclass(frozen=True, eq=False)
class Run:
    """All that one run of a sampler needs. Latents are in the model's scale, on its device."""

    sampler: SamplerType
    sigmas: Tensor  # [steps + 1], float32, on the CPU
    latent: Tensor
    noise: Tensor
    context: SamplingContext
    guider: Guider
    guided: Guided
    inpainting: Inpainting | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model_sampling(self) -> ModelSampling:
        return self.context.model_sampling


def sample(run: Run, track: Track) -> Asking[Tensor]:
    """Noise, denoise, and give back the latent [B, C, h, w], still in the model's scale."""
    sampling, first = run.model_sampling, run.sigmas[0]
    x = sampling.noise_scaling(first, run.noise, run.latent, sampling.is_max_denoise(first))
    x = yield from _steps(run, x, track)
    return sampling.inverse_noise_scaling(run.sigmas[-1], x)


def _steps(run: Run, x: Tensor, track: Track) -> Asking[Tensor]:
    steps = run.sampler.function(x, run.sigmas, run.context, **run.options)
    answer: Any = None
    while True:
        try:
            question = steps.send(answer)
        except StopIteration as end:
            finished: Tensor = end.value
            return finished
        x, sigma = question
        track.sigma = float(sigma)
        guided = replace(run.guided, step=track.step)
        prediction = yield from _predict(run, guided, x, sigma)
        if not isinstance(question, Midway):
            track.denoised = prediction.denoised
            track.step = min(track.step + 1, track.of)
        answer = prediction if run.sampler.wants_uncond else prediction.denoised


def _predict(run: Run, guided: Guided, x: Tensor, sigma: Tensor) -> Asking[Prediction]:
    if run.inpainting is None:
        return (yield from run.guider(guided, x, sigma))
    own = run.inpainting
    mask = own.mask if own.mask_at is None else own.mask_at(sigma, own.mask)
    kept = 1.0 - mask
    original = own.latent
    if own.noise is not None:
        original = run.model_sampling.noise_scaling(sigma, own.noise, own.latent)
    prediction = yield from run.guider(guided, x * mask + original * kept, sigma)
    denoised = prediction.denoised * mask + own.latent * kept
    return Prediction(denoised, prediction.uncond)
