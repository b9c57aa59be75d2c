"""Loads Chroma Radiance from its files."""

from collections.abc import Iterator
from typing import Any

from torch import nn

from diffusion.dit.pieces import Piece, named
from diffusion.families.chroma.loading import FLOW, empty
from diffusion.families.chroma.pieces import pieces as chroma_pieces
from diffusion.families.chroma_radiance.pixels import LastLayer, PixelBlock, PixelEmbedder
from diffusion.families.chroma_radiance.shapes import RadianceShape
from diffusion.families.family import Found, LoadedModel, Loading
from diffusion.families.transformers import load_transformer
from diffusion.latent_format import LatentColors, LatentFormat
from diffusion.parameterization import Parameterization

PIXELS = LatentFormat(
    3, px=1, colors=LatentColors(((0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5)), (0.5, 0.5, 0.5))
)
OF_CHROMA = frozenset({"x_embedder", "proj_out"})  # which are other layers here


def parameterization(_found: Found) -> Parameterization:
    """How its time runs, which is as Chroma's."""
    return FLOW


def load(found: Found, loading: Loading) -> LoadedModel:
    """Raises BadModelFile where something is missing."""
    return load_transformer(found, loading, empty_module, PIXELS, pieces=pieces)


def pieces(shape: RadianceShape) -> Iterator[Piece]:
    """All modules of a transformer in its own layout."""
    yield from (piece for piece in chroma_pieces(shape) if piece.module not in OF_CHROMA)
    last = "nerf_final_layer_conv" if shape.convolved else "nerf_final_layer"
    names = ["img_in_patch", "nerf_image_embedder.embedder.0", f"{last}.norm"]
    names.append(f"{last}.{'conv' if shape.convolved else 'linear'}")
    for index in range(shape.depth):
        names += [f"nerf_blocks.{index}.{name}" for name in ("param_generator", "norm")]
    yield from named({name: name for name in names})


def empty_module(shape: RadianceShape) -> Any:
    """Chroma's blocks, and squares of pixels around them."""
    module = empty(shape)
    del module.x_embedder, module.norm_out, module.proj_out
    module.shape = shape
    module.img_in_patch = nn.Conv2d(shape.in_channels, shape.width, shape.patch, stride=shape.patch)
    module.nerf_image_embedder = PixelEmbedder(shape)
    module.nerf_blocks = nn.ModuleList(PixelBlock(shape) for _ in range(shape.depth))
    name = "nerf_final_layer_conv" if shape.convolved else "nerf_final_layer"
    module.add_module(name, LastLayer(shape))
    return module
