"""Adds noise to a latent without sampling it (ComfyUI nodes_custom_sampler.py, AddNoise)."""

from dataclasses import replace

import torch
from torch import Tensor

from diffusion.latent.noise import prepare_noise
from diffusion.latent_format import LatentFormat, process_in, process_out
from diffusion.schedules.model_sampling import ModelSampling
from graph.sampling import Noise
from graph.values import Latent


def noised(
    latent: Latent, noise: Noise, sigmas: Tensor, sampling: ModelSampling, format: LatentFormat
) -> Latent:
    """`latent` with as much noise as `sigmas` lose from their first to their last."""
    if len(sigmas) == 0:
        return latent
    samples = latent.samples.float()
    shape = tuple(samples.shape)
    drawn = (
        torch.zeros(shape)
        if noise.seed is None
        else prepare_noise(shape, noise.seed, latent.batch_index)
    )
    scale = (sigmas[0] - sigmas[-1]).abs() if len(sigmas) > 1 else sigmas[0]
    if torch.count_nonzero(samples):  # an empty latent is not shifted
        samples = process_in(format, samples)
    noisy = process_out(format, sampling.noise_scaling(scale, drawn, samples))
    return replace(latent, samples=torch.nan_to_num(noisy, nan=0.0, posinf=0.0, neginf=0.0))
