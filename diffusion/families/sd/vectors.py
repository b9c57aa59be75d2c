"""The vector conditioning of U-Nets: pooled text and sizes, or image embeddings.

(ComfyUI comfy/model_base.py, SDXL.encode_adm, SDXLRefiner.encode_adm, SD21UNCLIP.encode_adm, Lotus)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from diffusion.batch.frame import Frame
from diffusion.families.pooled import pooled_text
from diffusion.networks.layers import sinusoids
from diffusion.vision.unclip import KEY, unclip_vector
from graph.values import Condition

SINUSOIDS = 256  # numbers that stand for one size
LOTUS_WIDTH = 4
LOTUS_TASK = torch.tensor([1.0, 0.0])  # to estimate, and not to give the picture back
NEGATIVES = frozenset({"negative", "middle", "empty_negative_prompt"})  # scored low by default
# Of a condition of a conditioning of this name: [B or 1, width].
MakeVector: TypeAlias = Callable[[Condition, str, Frame, int], Tensor]


@dataclass(frozen=True)
class Vector:
    """How a family makes its vector, and how many sizes follow the pooled text in it."""

    make: MakeVector
    sizes: int = 0

    def pooled_width(self, width: int) -> int:
        """Of a vector so wide."""
        return width - self.sizes * SINUSOIDS


def with_sizes_and_aim(condition: Condition, name: str, frame: Frame, _width: int) -> Tensor:
    """The pooled text, then size, crop and aim as sinusoids (SDXL)."""
    extras = condition.extras
    height, width, *crop = _sizes(condition, frame)
    aim = [extras.get("target_height", height), extras.get("target_width", width)]
    return _followed_by(pooled_text(condition, name, frame), [height, width, *crop, *aim])


def with_sizes_and_score(condition: Condition, name: str, frame: Frame, _width: int) -> Tensor:
    """The pooled text, then size, crop and score as sinusoids (SDXL's refiner)."""
    extras = condition.extras
    negative = extras.get("prompt_type", name) in NEGATIVES
    score = extras.get("aesthetic_score", 2.5 if negative else 6.0)
    pooled = pooled_text(condition, name, frame)
    return _followed_by(pooled, [*_sizes(condition, frame), score])


def seen(condition: Condition, _name: str, frame: Frame, width: int) -> Tensor:
    """What was seen in pictures (unCLIP); or the task of Lotus, which has a narrow vector."""
    if width == LOTUS_WIDTH:
        return torch.cat([LOTUS_TASK.sin(), LOTUS_TASK.cos()])[None].to(frame.device)
    return unclip_vector(condition.extras.get(KEY, ()), width, frame.seed).to(frame.device)


def _sizes(condition: Condition, frame: Frame) -> list[float]:
    """Height, width and where the picture was cut out."""
    extras, px = condition.extras, frame.format.px
    width = extras.get("width", frame.shape[-1] * px)
    height = extras.get("height", frame.shape[-2] * px)
    return [height, width, extras.get("crop_h", 0), extras.get("crop_w", 0)]


def _followed_by(pooled: Tensor, sizes: Sequence[float]) -> Tensor:
    waves = sinusoids(torch.tensor(sizes, dtype=torch.float32), SINUSOIDS).flatten()
    return torch.cat([pooled, waves.to(pooled.device).expand(len(pooled), -1)], dim=1)


XL = Vector(with_sizes_and_aim, 6)
REFINER = Vector(with_sizes_and_score, 5)
UNCLIP = Vector(seen)
