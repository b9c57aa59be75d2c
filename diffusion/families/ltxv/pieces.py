"""Maps the tensor names of Lightricks' LTX-Video files to diffusers' names."""

from collections.abc import Iterator

from diffusion.dit.pieces import Piece, named
from diffusion.families.ltxv.shapes import LtxvShape

SAME = (
    "caption_projection.linear_1",
    "caption_projection.linear_2",
    "proj_out",
)
FEED = ("net.0.proj", "net.2")
OF_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


def pieces(shape: LtxvShape) -> Iterator[Piece]:
    """All modules of a transformer in Lightricks' layout."""
    for layer in ("emb.timestep_embedder.linear_1", "emb.timestep_embedder.linear_2", "linear"):
        yield Piece(f"time_embed.{layer}", f"adaln_single.{layer}")
    yield Piece("proj_in", "patchify_proj")
    yield from named({name: name for name in SAME})
    for i in range(shape.blocks):
        block = f"transformer_blocks.{i}"
        yield from named({f"{block}.ff.{name}": f"{block}.ff.{name}" for name in FEED})
        for attention in (f"{block}.attn1", f"{block}.attn2"):
            yield from named(
                {f"{attention}.{name}": f"{attention}.{name}" for name in OF_ATTENTION}
            )
            yield Piece(f"{attention}.norm_q", f"{attention}.q_norm")
            yield Piece(f"{attention}.norm_k", f"{attention}.k_norm")
