"""comfy.sample: noise, and sampling by the service."""

from typing import Any

import numpy as np
import torch

from packs.surface.nodes import common_ksampler
from packs.surface.service_values import run


def prepare_noise(latent_image: Any, seed: int, noise_inds: Any = None) -> Any:
    """The noise of a seed; `noise_inds` say which of a batch each latent is."""
    generator = torch.manual_seed(seed)
    kind = {"dtype": latent_image.dtype, "layout": latent_image.layout, "device": "cpu"}
    if noise_inds is None:
        return torch.randn(latent_image.size(), generator=generator, **kind)
    unique, where = np.unique(noise_inds, return_inverse=True)
    size = [1, *latent_image.size()[1:]]
    drawn = [torch.randn(size, generator=generator, **kind) for _ in range(int(unique[-1]) + 1)]
    return torch.cat([drawn[int(unique[k])] for k in where], dim=0)


def fix_empty_latent_channels(model: Any, latent_image: Any, *_: Any) -> Any:
    """The service does this when it samples."""
    del model
    return latent_image


def sample(
    model: Any, noise: Any, steps: int, cfg: float, sampler_name: str, scheduler: str,
    positive: Any, negative: Any, latent_image: Any, denoise: float = 1.0,
    disable_noise: bool = False, start_step: int | None = None, last_step: int | None = None,
    force_full_denoise: bool = False, noise_mask: Any = None, sigmas: Any = None,
    callback: Any = None, disable_pbar: bool = False, seed: int | None = None,
) -> Any:  # fmt: skip
    """Sample; the noise is that of `seed`."""
    del noise, sigmas, callback, disable_pbar
    latent = {"samples": latent_image}
    if noise_mask is not None:
        latent["noise_mask"] = noise_mask
    return common_ksampler(
        model, seed or 0, steps, cfg, sampler_name, scheduler, positive, negative, latent, denoise,
        disable_noise, start_step, last_step, force_full_denoise,
    )[0]["samples"]  # fmt: skip


def sample_custom(
    model: Any, noise: Any, cfg: float, sampler: Any, sigmas: Any, positive: Any, negative: Any,
    latent_image: Any, noise_mask: Any = None, callback: Any = None, disable_pbar: bool = False,
    seed: int | None = None,
) -> Any:  # fmt: skip
    """Sample with a sampler and sigmas; noise of zeros adds none."""
    del callback, disable_pbar
    latent = {"samples": latent_image}
    if noise_mask is not None:
        latent["noise_mask"] = noise_mask
    return run(
        "SamplerCustom", model=model, add_noise=bool(torch.any(noise)), noise_seed=seed or 0,
        cfg=cfg, positive=positive, negative=negative, sampler=sampler, sigmas=sigmas,
        latent_image=latent,
    )[0]["samples"]  # fmt: skip
