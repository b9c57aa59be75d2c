"""Consistency and DDPM sampling: each prediction is renoised from scratch, or by the posterior."""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from diffusion.samplers.protocol import Sampling, SamplingContext
from graph.choices import ScaleMethod
from imaging.resize import resize


def lcm(x: Tensor, sigmas: Tensor, context: SamplingContext) -> Sampling:
    """Multistep consistency sampling (Luo et al. 2023, LCM, alg. 3)."""
    noise, model = context.noise.ancestral(), context.model_sampling
    for sigma, sigma_next in pairwise(sigmas):
        x = yield x, sigma
        if sigma_next > 0:
            x = model.noise_scaling(sigma_next, noise(), x)
    return x


def lcm_upscale(
    x: Tensor,
    sigmas: Tensor,
    context: SamplingContext,
    *,
    scale_ratio: float = 1.0,
    scale_steps: int = -1,
    upscale_method: ScaleMethod = "bislerp",
) -> Sampling:
    """LCM whose latent grows evenly to `scale_ratio` over its first steps (SamplerLCMUpscale).

    Over `scale_steps` of them, below 0 over half of the schedule. The noise is an eps model's.
    """
    noise, (height, width) = context.noise.continued(), x.shape[-2:]
    count = min(scale_steps, len(sigmas)) if scale_steps >= 0 else max(len(sigmas) // 2, 1)
    layout = x  # ComfyUI's strides, whatever the prediction's are
    scales = np.linspace(1.0, scale_ratio, count + 1)[1:]
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        x = yield x, sigma
        if i < len(scales):
            x = resize(x, round(width * scales[i]), round(height * scales[i]), upscale_method)
            layout = x
        if sigma_next > 0:
            x = x + sigma_next * noise(layout)
    return x


def ddpm(x: Tensor, sigmas: Tensor, context: SamplingContext) -> Sampling:
    """DDPM's ancestral sampler (Ho et al. 2020, alg. 2), in x without its scale."""
    noise = context.noise.ancestral()
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield x, sigma
        signal, signal_next = 1 / (sigma**2 + 1), 1 / (sigma_next**2 + 1)  # alpha bar
        alpha = signal / signal_next
        eps = (x - denoised) / sigma
        mean = x / torch.sqrt(1.0 + sigma**2) - (1 - alpha) * eps / (1 - signal).sqrt()
        x = (1 / alpha).sqrt() * mean
        if sigma_next > 0:
            variance = (1 - alpha) * (1 - signal_next) / (1 - signal)
            x = (x + variance.sqrt() * noise()) * torch.sqrt(1.0 + sigma_next**2)
    return x
