"""Stable Diffusion's x4 upscaler: a small picture beside the noise, itself made noisy.

(ComfyUI comfy/model_base.py, SD_X4Upscaler)
"""

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.batch.fitting import spread_to
from diffusion.batch.frame import Frame
from diffusion.batch.preparation import batched
from diffusion.batch.prompts import Embedding
from diffusion.families.family import Found, LoadedModel
from diffusion.families.sd.shapes import UnetShape
from diffusion.latent_format import LatentFormat
from diffusion.parameterization import Parameterization
from graph.values import Condition
from imaging.resize import resize

CHANNELS = 7  # the latent's four and the picture's three
LATENT = LatentFormat(4, 0.08333, px=4)
BETAS = (0.0001, 0.02)  # the first and last of its noise levels, and of those of the picture
LEVELS = 1000
NOISIEST = 350  # of them, that a picture was seen with
OFFSET = -10  # of the noise's seed from the sampler's


def is_upscaler(shape: UnetShape) -> bool:
    return shape.labelled and shape.in_channels == CHANNELS and bool(shape.y_dim)


def parameterization(_found: Found) -> Parameterization:
    return Parameterization("v", betas=BETAS)


def embed(model: LoadedModel, condition: Condition, _name: str, frame: Frame) -> Embedding:
    """The text, how noisy the picture is, and the picture beside the latent."""
    amount = float(condition.extras.get("noise_augmentation", 0.0))
    level = min(round(NOISIEST * amount), model.shape.y_dim - 1)
    label = functional.one_hot(torch.tensor([level]), model.shape.y_dim).float()
    return Embedding(
        batched(condition.tokens, frame),
        label.to(frame.device),
        _picture(condition.extras.get("concat_image"), frame, level if amount > 0 else None),
    )


def _picture(picture: Tensor | None, frame: Frame, level: int | None) -> Tensor:
    """[B, 3, h, w], in -1..1 but for the noise of a level."""
    batch, _, height, width = frame.shape
    if picture is None:
        return torch.zeros(batch, 3, height, width, device=frame.device)
    picture = resize(picture.float().cpu(), width, height, "bilinear", "center")
    if level is not None:
        kept = _kept()[level]
        drawing = torch.Generator().manual_seed(frame.seed + OFFSET)
        noise = torch.randn(picture.shape, generator=drawing)
        picture = kept.sqrt() * picture + (1 - kept).sqrt() * noise
    return spread_to(picture, batch).to(frame.device)


def _kept() -> Tensor:
    """How much of a picture is left at each level."""
    first, last = BETAS
    betas = torch.linspace(first**0.5, last**0.5, LEVELS, dtype=torch.float64) ** 2
    return (1.0 - betas).cumprod(0).float()


def blank(shape: UnetShape) -> Condition:
    """A prompt that says nothing, for a network of this shape."""
    return Condition(torch.zeros(1, 77, shape.context_dim))
