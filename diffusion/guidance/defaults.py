"""Prompts that count where no other one does.

(ComfyUI comfy/samplers.py, finalize_default_conds)
"""

from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import torch
from torch import Tensor

from diffusion.batch.prompts import Prompt

Filled: TypeAlias = MutableMapping[tuple[int, ...], tuple[Prompt, ...]]  # by prompts' identities


def holding(prompts: Sequence[Prompt], sigma: float, known: Filled) -> Iterator[Prompt]:
    """Those that apply at a noise level, and where they leave something out, their defaults.

    `known` remembers what defaults come to, for as long as their job lasts.
    """
    own = [prompt for prompt in prompts if prompt.applies(sigma)]
    plain = [prompt for prompt in own if not prompt.default]
    yield from plain
    if len(plain) < len(own):
        key = tuple(map(id, own))
        if key not in known:
            left = _left_by(plain, own[0].shape, own[0].embedding.context.device)
            defaults = (prompt for prompt in own if prompt.default)
            known[key] = tuple(_filling(prompt, left) for prompt in defaults) if left.any() else ()
        yield from known[key]


def _left_by(prompts: Sequence[Prompt], shape: torch.Size, device: torch.device) -> Tensor:
    """How much of each place [B, 1, ..., h, w] no prompt counts in."""
    between = [1] * (len(shape) - 3)
    left = torch.ones(shape[0], *between, *shape[-2:], device=device)
    for prompt in prompts:
        here = left if prompt.box is None else prompt.box.crop(left)
        here -= 1.0 if prompt.weight is None else prompt.weight
    return left.relu_()


def _filling(prompt: Prompt, left: Tensor) -> Prompt:
    mask = left.reshape(len(left), *left.shape[-2:])
    region = replace(prompt.region, box=None, mask=mask, mask_strength=1.0, strength=1.0)
    return replace(prompt, region=region)
