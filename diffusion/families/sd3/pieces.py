"""Maps the tensor names of Stability's Stable Diffusion 3 files to diffusers' names."""

from collections.abc import Iterator

from diffusion.dit.pieces import Piece, named, thirds
from diffusion.families.sd3.shapes import Sd3Shape


def pieces(shape: Sd3Shape) -> Iterator[Piece]:
    """All modules of a transformer in Stability's layout."""
    yield from named(
        {
            "pos_embed.proj": "x_embedder.proj",
            "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
            "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
            "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
            "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
            "context_embedder": "context_embedder",
            "proj_out": "final_layer.linear",
        }
    )
    yield Piece("norm_out.linear", "final_layer.adaLN_modulation.1", swapped=True)
    for i in range(shape.depth):
        yield from _joint_block(
            f"transformer_blocks.{i}", f"joint_blocks.{i}", shape.width, last=i == shape.depth - 1
        )


def _joint_block(ours: str, theirs: str, width: int, *, last: bool) -> Iterator[Piece]:
    """The names of a second attention too, for blocks that have it."""
    x, context = f"{theirs}.x_block", f"{theirs}.context_block"
    yield from named(
        {
            f"{ours}.norm1.linear": f"{x}.adaLN_modulation.1",
            f"{ours}.ff.net.0.proj": f"{x}.mlp.fc1",
            f"{ours}.ff.net.2": f"{x}.mlp.fc2",
            f"{ours}.ff_context.net.0.proj": f"{context}.mlp.fc1",
            f"{ours}.ff_context.net.2": f"{context}.mlp.fc2",
            f"{ours}.attn.to_add_out": f"{context}.attn.proj",
            f"{ours}.attn.norm_added_q": f"{context}.attn.ln_q",
            f"{ours}.attn.norm_added_k": f"{context}.attn.ln_k",
        }
    )
    yield Piece(f"{ours}.norm1_context.linear", f"{context}.adaLN_modulation.1", swapped=last)
    yield from thirds(f"{ours}.attn", f"{context}.attn.qkv", width, added=True)
    for attn in ("attn", "attn2"):
        yield from thirds(f"{ours}.{attn}", f"{x}.{attn}.qkv", width)
        yield Piece(f"{ours}.{attn}.to_out.0", f"{x}.{attn}.proj")
        yield Piece(f"{ours}.{attn}.norm_q", f"{x}.{attn}.ln_q")
        yield Piece(f"{ours}.{attn}.norm_k", f"{x}.{attn}.ln_k")
