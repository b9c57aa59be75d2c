"""Maps the tensor names of Chroma's files of its transformer to diffusers' names."""

from collections.abc import Iterator

from diffusion.dit.pieces import Piece, named
from diffusion.families.chroma.shapes import ChromaShape
from diffusion.families.flux.pieces import double_block, single_block

APPROXIMATOR = "distilled_guidance_layer"


def pieces(shape: ChromaShape) -> Iterator[Piece]:
    """All modules of a transformer in Chroma's own layout."""
    yield from named(
        {
            "x_embedder": "img_in",
            "context_embedder": "txt_in",
            "proj_out": "final_layer.linear",
            f"{APPROXIMATOR}.in_proj": f"{APPROXIMATOR}.in_proj",
            f"{APPROXIMATOR}.out_proj": f"{APPROXIMATOR}.out_proj",
        }
    )
    for i in range(shape.layers):
        layer = f"{APPROXIMATOR}.layers.{i}"
        yield Piece(f"{layer}.linear_1", f"{layer}.in_layer")
        yield Piece(f"{layer}.linear_2", f"{layer}.out_layer")
        yield Piece(f"{APPROXIMATOR}.norms.{i}", f"{APPROXIMATOR}.norms.{i}")
    for i in range(shape.double):
        yield from double_block(f"transformer_blocks.{i}", f"double_blocks.{i}", shape.width)
    for i in range(shape.single):
        theirs = f"single_blocks.{i}"
        yield from single_block(f"single_transformer_blocks.{i}", theirs, shape.width, shape.mlp)
