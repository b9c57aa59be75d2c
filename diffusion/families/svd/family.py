"""Stable Video Diffusion, and Stable Video 3D: frames from all around a thing."""

from dataclasses import replace
from functools import partial

from diffusion.families.family import Family
from diffusion.families.sd.family import SD15_COLORS
from diffusion.families.svd.conditions import blank, embed
from diffusion.families.svd.denoiser import VideoDenoiser
from diffusion.families.svd.loading import (
    is_orbit,
    is_video,
    load,
    parameterization,
    read_video_shape,
)
from diffusion.families.svd.weight_names import VideoNames

SVD = Family(
    name="svd",
    read=read_video_shape,
    fits=is_video,
    unknown=lambda shape: (
        f"it is a video model that hears of {shape.y_dim} numbers, none of a known kind"
    ),
    load=partial(load, colors=SD15_COLORS),
    parameterization=parameterization,
    denoiser=VideoDenoiser,
    embed=embed,
    blank=blank,
    weight_names=VideoNames,
    sees_batches=True,
)
SV3D = replace(SVD, name="sv3d", fits=is_orbit)
