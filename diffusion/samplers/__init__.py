"""Samplers: how a latent moves down a sigma schedule, and nothing else."""

from collections.abc import Mapping
from types import MappingProxyType

from diffusion.samplers.euler import euler
from diffusion.samplers.protocol import SamplerType

SAMPLERS: Mapping[str, SamplerType] = MappingProxyType(
    {
        "euler": SamplerType(euler),
        "ddim": SamplerType(euler, redraws_inpaint_noise=True),
    }
)
