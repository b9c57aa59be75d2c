"""Loads Chroma from its files."""

from typing import Any

from torch import nn

from diffusion.dit.tokens import PATCH
from diffusion.families.chroma.pieces import pieces
from diffusion.families.chroma.shapes import ChromaShape
from diffusion.families.family import Found, LoadedModel, Loading
from diffusion.families.flux.loading import DIFFUSERS, LATENT
from diffusion.families.transformers import load_transformer
from diffusion.parameterization import Parameterization

FLOW = Parameterization("exponential_flow", shift=1.15)


def parameterization(_found: Found) -> Parameterization:
    """How its time runs. (ComfyUI supported_models.py, Chroma)"""
    return FLOW


def load(found: Found, loading: Loading) -> LoadedModel:
    """Raises BadModelFile where something is missing."""
    return load_transformer(found, loading, empty, LATENT, pieces=pieces, whole=DIFFUSERS)


def empty(shape: ChromaShape) -> Any:
    """diffusers' blocks, named as in its ChromaTransformer2DModel, whose table is shorter."""
    # Here and not at the top: importing these takes many seconds, and only stages that sample
    # need them.
    from diffusers.models.transformers import transformer_chroma as chroma  # noqa: PLC0415
    from diffusers.models.transformers.transformer_flux import FluxPosEmbed  # noqa: PLC0415

    width, numbers = shape.width, shape.in_channels * PATCH**2
    heads = (width, width // shape.head, shape.head)
    module: Any = nn.Module()
    module.pos_embed = FluxPosEmbed(theta=10000, axes_dim=list(shape.axes))
    module.distilled_guidance_layer = chroma.ChromaApproximator(
        shape.time_inputs, width, shape.approximator, shape.layers
    )
    module.x_embedder = nn.Linear(numbers, width)
    module.context_embedder = nn.Linear(shape.context_dim, width)
    double, single = chroma.ChromaTransformerBlock, chroma.ChromaSingleTransformerBlock
    module.transformer_blocks = nn.ModuleList(double(*heads) for _ in range(shape.double))
    module.single_transformer_blocks = nn.ModuleList(single(*heads) for _ in range(shape.single))
    module.norm_out = chroma.ChromaAdaLayerNormContinuousPruned(
        width, width, elementwise_affine=False, eps=1e-6
    )
    module.proj_out = nn.Linear(width, numbers)
    return module
