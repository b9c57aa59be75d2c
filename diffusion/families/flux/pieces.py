"""Maps the tensor names of Black Forest Labs' Flux files to diffusers' names."""

from collections.abc import Iterator

from diffusion.dit.pieces import Piece, named, thirds
from diffusion.families.flux.shapes import FluxShape


def pieces(shape: FluxShape) -> Iterator[Piece]:
    """All modules of a transformer in Black Forest Labs' layout."""
    embedders = {"timestep": "time_in", "guidance": "guidance_in", "text": "vector_in"}
    for ours, theirs in embedders.items():
        yield Piece(f"time_text_embed.{ours}_embedder.linear_1", f"{theirs}.in_layer")
        yield Piece(f"time_text_embed.{ours}_embedder.linear_2", f"{theirs}.out_layer")
    yield from named(
        {"x_embedder": "img_in", "context_embedder": "txt_in", "proj_out": "final_layer.linear"}
    )
    yield Piece("norm_out.linear", "final_layer.adaLN_modulation.1", swapped=True)
    for i in range(shape.double):
        ours, theirs = f"transformer_blocks.{i}", f"double_blocks.{i}"
        yield Piece(f"{ours}.norm1.linear", f"{theirs}.img_mod.lin")
        yield Piece(f"{ours}.norm1_context.linear", f"{theirs}.txt_mod.lin")
        yield from double_block(ours, theirs, shape.width)
    for i in range(shape.single):
        ours, theirs = f"single_transformer_blocks.{i}", f"single_blocks.{i}"
        yield Piece(f"{ours}.norm.linear", f"{theirs}.modulation.lin")
        yield from single_block(ours, theirs, shape.width, shape.mlp)


def double_block(ours: str, theirs: str, width: int) -> Iterator[Piece]:
    """A block in which text and picture part ways, but for its modulations."""
    yield from named(
        {
            f"{ours}.attn.norm_q": f"{theirs}.img_attn.norm.query_norm",
            f"{ours}.attn.norm_k": f"{theirs}.img_attn.norm.key_norm",
            f"{ours}.attn.norm_added_q": f"{theirs}.txt_attn.norm.query_norm",
            f"{ours}.attn.norm_added_k": f"{theirs}.txt_attn.norm.key_norm",
            f"{ours}.attn.to_out.0": f"{theirs}.img_attn.proj",
            f"{ours}.attn.to_add_out": f"{theirs}.txt_attn.proj",
            f"{ours}.ff.net.0.proj": f"{theirs}.img_mlp.0",
            f"{ours}.ff.net.2": f"{theirs}.img_mlp.2",
            f"{ours}.ff_context.net.0.proj": f"{theirs}.txt_mlp.0",
            f"{ours}.ff_context.net.2": f"{theirs}.txt_mlp.2",
        }
    )
    yield from thirds(f"{ours}.attn", f"{theirs}.img_attn.qkv", width)
    yield from thirds(f"{ours}.attn", f"{theirs}.txt_attn.qkv", width, added=True)


def single_block(ours: str, theirs: str, width: int, mlp: int) -> Iterator[Piece]:
    """A block of one sequence, but for its modulation."""
    yield from named(
        {
            f"{ours}.attn.norm_q": f"{theirs}.norm.query_norm",
            f"{ours}.attn.norm_k": f"{theirs}.norm.key_norm",
            f"{ours}.proj_out": f"{theirs}.linear2",
        }
    )
    yield from thirds(f"{ours}.attn", f"{theirs}.linear1", width)
    yield Piece(f"{ours}.proj_mlp", f"{theirs}.linear1", 3 * width, 3 * width + mlp)
