"""The schedule of KSampler, which depends on the sampler. (ComfyUI comfy/samplers.py, KSampler)"""

import torch
from torch import Tensor

from diffusion.samplers import SAMPLERS
from diffusion.schedules.model_sampling import ModelSampling
from diffusion.schedules.schedulers import schedule


def ksampler_sigmas(
    model: ModelSampling, sampler: str, scheduler: str, steps: int, denoise: float = 1.0
) -> Tensor:
    """KSampler's: with `denoise` < 1 the tail of a longer schedule; empty at 0."""
    if denoise <= 0.0:
        return torch.zeros(0)
    total = steps if denoise > 0.9999 else int(steps / denoise)
    if SAMPLERS[sampler].discards_penultimate_sigma:
        sigmas = schedule(scheduler, model, total + 1)
        sigmas = torch.cat([sigmas[:-2], sigmas[-1:]])
    else:
        sigmas = schedule(scheduler, model, total)
    return sigmas if denoise > 0.9999 else sigmas[-(steps + 1) :]
