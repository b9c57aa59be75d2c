"""What conditions say to U-Nets that are nowhere but in a shape."""

from functools import partial

import torch

from diffusion.batch.preparation import Embed
from diffusion.families.family import LoadedModel
from diffusion.families.sd import vectors
from diffusion.families.sd.conditions import embed
from diffusion.families.sd.family import SD15, SD15_LATENT
from diffusion.families.sd.shapes import UnetShape
from diffusion.families.sd.vectors import Vector
from diffusion.parameterization import Parameterization


def saying(
    in_channels: int = 4,
    vector: Vector | None = None,
    parameterization: Parameterization | None = None,
) -> Embed:
    """What a condition says to a U-Net that reads so many channels, and such a vector if any."""
    shape = UnetShape(
        in_channels=in_channels,
        out_channels=4,
        context_dim=8,
        y_dim=None if vector is None else 0,
        linear=False,
        levels=(),
        mid=None,
    )
    model = LoadedModel(
        family=SD15,
        module=None,
        shape=shape,
        parameterization=parameterization or Parameterization("eps"),
        latent_format=SD15_LATENT,
        dtype=torch.float32,
        size=0,
    )
    return partial(embed, model, vector=vector or vectors.UNCLIP)
