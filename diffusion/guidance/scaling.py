"""Scales guidance by frequency, by length, or by a picture's place in its batch."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from diffusion.batch.rows import Asking
from diffusion.guidance.guided import After, Before, Combine, Predicted
from diffusion.latent.operations import operate
from graph.values import Change


def frequencies(change: Change) -> Before:
    """Guidance whose low and high frequencies count differently (FreSca, arXiv 2504.02154)."""
    low, high, cutoff = (change[n] for n in ("scale_low", "scale_high", "freq_cutoff"))

    def before(predicted: Predicted) -> Predicted:
        if predicted.cond_name is None or predicted.uncond_name is None:
            return predicted
        guidance = predicted.cond - predicted.uncond
        scales = torch.full(guidance.shape[-2:], float(high), device=guidance.device)
        middles = [(side // 2, min(int(cutoff), side // 2)) for side in scales.shape]
        scales[tuple(slice(middle - reach, middle + reach) for middle, reach in middles)] = low
        spectrum = torch.fft.fftn(guidance.float(), dim=(-2, -1)) * torch.fft.ifftshift(scales)
        scaled = torch.fft.ifftn(spectrum, dim=(-2, -1)).real.to(guidance.dtype)
        return replace(predicted, cond=predicted.uncond + scaled)

    return before


def operation(change: Change) -> Before:
    """A latent operation on guidance; of three prompts, on the positive's prediction itself.

    (ComfyUI comfy_extras/nodes_latent.py, LatentApplyOperationCFG)
    """

    def before(predicted: Predicted) -> Predicted:
        base = 0 if len(predicted.guided.prompts) > 2 else predicted.uncond
        return replace(predicted, cond=base + operate(change["operation"], predicted.cond - base))

    return before


def renorm_cfg(change: Change) -> Combine:
    """Guidance no longer than the positive times a number, below a noise level.

    (ComfyUI comfy_extras/nodes_lumina2.py)
    """
    below, most = float(change["cfg_trunc"]), float(change["renorm_cfg"])

    def combine(predicted: Predicted) -> Tensor:
        cond, uncond = predicted.cond, predicted.uncond
        if float(predicted.sigma) >= below:
            return cond
        guided = uncond + (cond - uncond) * predicted.scale
        if most <= 0:
            return guided
        limit, length = _length(cond) * most, _length(guided)
        return guided * (limit / length).clamp(max=1.0)

    return combine


def _length(x: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(x, dim=(1, 2, 3), keepdim=True)
    return length


def over_batch(rising: Callable[[Tensor], Tensor]) -> Callable[[Change], Combine]:
    """Guidance whose scale goes from `min_cfg` to all of it by a picture's place in its batch.

    `rising` gives how much of that way [B], for places [B] from 0 to 1.
    """

    def made(change: Change) -> Combine:
        least = float(change["min_cfg"])

        def combine(predicted: Predicted) -> Tensor:
            cond, uncond = predicted.cond, predicted.uncond
            way = rising(torch.linspace(0, 1, len(cond), device=cond.device))
            scales = least + way * (predicted.scale - least)
            beside = scales.reshape(-1, *[1] * (cond.ndim - 1))
            return uncond + (cond - uncond) * beside

        return combine

    return made


def linear(places: Tensor) -> Tensor:
    return places


def triangle(places: Tensor) -> Tensor:
    """Up to the middle, and down again."""
    return 2 * (places - (places + 0.5).floor()).abs()


def epsilon_scaling(change: Change) -> After:
    """Less of the predicted noise, of which samplers meet too much (arXiv 2308.15321)."""
    factor = float(change["scaling_factor"])

    def after(predicted: Predicted, denoised: Tensor) -> Asking[Tensor]:
        yield from ()
        return predicted.x - (predicted.x - denoised) / factor

    return after
