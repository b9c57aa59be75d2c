"""unCLIP: image embeddings in prompts, for Stable Diffusion 2.1 models trained for it.

The vector beside the text is what an image encoder saw, made noisy so that it is taken less
literally, and how noisy. (ComfyUI comfy/model_base.py, unclip_adm; nodes.py, unCLIPConditioning)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from graph.values import ClipVisionOutput, Conditioning

KEY = "unclip_conditioning"
LEVELS = 1000
MERGED_NOISE = 0.05  # of what several pictures are together
OFFSET = -10  # of the noise's seed from the sampler's
OFFSET_COSINE, MOST_BETA = 0.008, 0.999  # Nichol & Dhariwal 2021


@dataclass(frozen=True, eq=False)
class Seen:
    """What was seen in pictures [B, P], and how a prompt goes by it."""

    image_embeds: Tensor
    strength: float
    noise_augmentation: float


def unclip_conditioning(
    conditioning: Conditioning,
    seen: ClipVisionOutput,
    *,
    strength: float,
    noise_augmentation: float,
) -> Conditioning:
    """Prompts that speak of pictures, after those of which they speak already."""
    if strength == 0:
        return conditioning
    added = Seen(seen.image_embeds, strength, noise_augmentation)
    return tuple(
        replace(c, extras={**c.extras, KEY: (*c.extras.get(KEY, ()), added)}) for c in conditioning
    )


def unclip_vector(said: Sequence[Seen], width: int, seed: int) -> Tensor:
    """[1, width]: the first half is what was seen, the second how noisy it is."""
    vectors = []
    generator = torch.Generator()
    for seen in said:
        for embeds in seen.image_embeds.float().cpu():
            generator.manual_seed(seed + OFFSET)
            noisy = _noisy(embeds[None], seen.noise_augmentation, generator)
            vectors.append(noisy * seen.strength)
    if not vectors:
        return torch.zeros(1, width)
    if len(vectors) == 1:
        return vectors[0]
    together = torch.stack(vectors).sum(0)
    return _noisy(together[:, : width // 2], MERGED_NOISE, generator)


def _noisy(embeds: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    level = round((LEVELS - 1) * amount)
    kept = _alphas_cumprod()[level]
    noise = torch.randn(embeds.shape, generator=generator)
    noised = kept.sqrt() * embeds + (1 - kept).sqrt() * noise
    return torch.cat([noised, _waves(level, embeds.shape[-1])], dim=1)


def _waves(level: int, width: int) -> Tensor:
    """[1, width], cosines before sines."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
    angles = level * frequencies[None]
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


@cache
def _alphas_cumprod() -> Tensor:
    """The cosine schedule, [LEVELS]."""

    def kept(t: float) -> float:
        return math.cos((t + OFFSET_COSINE) / (1 + OFFSET_COSINE) * math.pi / 2) ** 2

    betas = (min(1 - kept((i + 1) / LEVELS) / kept(i / LEVELS), MOST_BETA) for i in range(LEVELS))
    alphas = torch.tensor([1 - beta for beta in betas], dtype=torch.float64)
    return alphas.cumprod(0).float()
