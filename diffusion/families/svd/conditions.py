"""Conditioning of Stable Video Diffusion: a picture as it is seen, as latents, and sizes.

Of Stable Video 3D it is where each frame is seen from, or nothing but noise.
(ComfyUI comfy/model_base.py, SVD_img2vid, SV3D_u and SV3D_p)
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from diffusion.batch.fitting import spread_to
from diffusion.batch.frame import Frame, fitted_to
from diffusion.batch.preparation import batched
from diffusion.batch.prompts import Embedding
from diffusion.families.family import LoadedModel
from diffusion.families.sd.shapes import UnetShape
from diffusion.networks.layers import sinusoids
from graph.values import Condition

SINUSOIDS = 256  # numbers that stand for one size
ANGLE = 512  # and for one angle
TURN = 360.0  # degrees


def embed(model: LoadedModel, condition: Condition, _name: str, frame: Frame) -> Embedding:
    """The picture for every frame; latents beside the noise are in the autoencoder's scale."""
    extras = condition.extras
    make = VECTORS[model.shape.y_dim]
    waves = make(extras, frame)
    picture: Tensor | None = extras.get("concat_latent_image")
    concat = torch.zeros(frame.shape, device=frame.device)
    if picture is not None:
        concat = fitted_to(frame, picture.to(frame.device, torch.float32))
    return Embedding(batched(condition.tokens, frame), waves.to(frame.device), concat)


def _sizes(extras: Mapping[str, Any], _frame: Frame) -> Tensor:
    """[1, 768]: frame rate, motion and augmentation."""
    sizes = [
        extras.get("fps", 6) - 1,
        extras.get("motion_bucket_id", 127),
        extras.get("augmentation_level", 0.0),
    ]
    return _waves(sizes, SINUSOIDS).flatten()[None]


def _augmentation(extras: Mapping[str, Any], _frame: Frame) -> Tensor:
    """[1, 256]"""
    return _waves([extras.get("augmentation_level", 0.0)], SINUSOIDS)


def _orbit(extras: Mapping[str, Any], frame: Frame) -> Tensor:
    """[B, 1280]: augmentation, and for each frame how high and from which side it is seen."""
    above, around = (
        torch.as_tensor(extras.get(name, 0.0), dtype=torch.float32).flatten()
        for name in ("elevation", "azimuth")
    )
    angles = (torch.deg2rad(torch.fmod(angle, TURN)) for angle in (90 - above, around))
    parts = [_augmentation(extras, frame), *(sinusoids(angle, ANGLE) for angle in angles)]
    return torch.cat([spread_to(part, frame.shape[0]) for part in parts], dim=1)


def _waves(numbers: Sequence[float], width: int) -> Tensor:
    return sinusoids(torch.tensor(numbers, dtype=torch.float32), width)


# By the width of what is heard beside the picture: SVD, SV3D_u and SV3D_p.
VECTORS: Mapping[int, Callable[[Mapping[str, Any], Frame], Tensor]] = MappingProxyType(
    {3 * SINUSOIDS: _sizes, SINUSOIDS: _augmentation, SINUSOIDS + 2 * ANGLE: _orbit}
)


def blank(shape: UnetShape) -> Condition:
    """A prompt that says nothing, for a network of this shape."""
    return Condition(torch.zeros(1, 1, shape.context_dim))
