"""Maps the tensor names of Black Forest Labs' Flux.2 files to diffusers' names."""

from collections.abc import Iterator

from diffusion.dit.pieces import Piece, named, thirds
from diffusion.families.flux2.shapes import Flux2Shape


def pieces(shape: Flux2Shape) -> Iterator[Piece]:
    """All modules of a transformer in Black Forest Labs' layout."""
    for ours, theirs in {"timestep": "time_in", "guidance": "guidance_in"}.items():
        yield Piece(f"time_guidance_embed.{ours}_embedder.linear_1", f"{theirs}.in_layer")
        yield Piece(f"time_guidance_embed.{ours}_embedder.linear_2", f"{theirs}.out_layer")
    yield from named(
        {
            "x_embedder": "img_in",
            "context_embedder": "txt_in",
            "double_stream_modulation_img.linear": "double_stream_modulation_img.lin",
            "double_stream_modulation_txt.linear": "double_stream_modulation_txt.lin",
            "single_stream_modulation.linear": "single_stream_modulation.lin",
            "proj_out": "final_layer.linear",
        }
    )
    yield Piece("norm_out.linear", "final_layer.adaLN_modulation.1", swapped=True)
    for i in range(shape.double):
        yield from _double_block(f"transformer_blocks.{i}", f"double_blocks.{i}", shape.width)
    for i in range(shape.single):
        ours, theirs = f"single_transformer_blocks.{i}.attn", f"single_blocks.{i}"
        yield from named(
            {
                f"{ours}.to_qkv_mlp_proj": f"{theirs}.linear1",
                f"{ours}.to_out": f"{theirs}.linear2",
                f"{ours}.norm_q": f"{theirs}.norm.query_norm",
                f"{ours}.norm_k": f"{theirs}.norm.key_norm",
            }
        )


def _double_block(ours: str, theirs: str, width: int) -> Iterator[Piece]:
    yield from named(
        {
            f"{ours}.attn.norm_q": f"{theirs}.img_attn.norm.query_norm",
            f"{ours}.attn.norm_k": f"{theirs}.img_attn.norm.key_norm",
            f"{ours}.attn.norm_added_q": f"{theirs}.txt_attn.norm.query_norm",
            f"{ours}.attn.norm_added_k": f"{theirs}.txt_attn.norm.key_norm",
            f"{ours}.attn.to_out.0": f"{theirs}.img_attn.proj",
            f"{ours}.attn.to_add_out": f"{theirs}.txt_attn.proj",
            f"{ours}.ff.linear_in": f"{theirs}.img_mlp.0",
            f"{ours}.ff.linear_out": f"{theirs}.img_mlp.2",
            f"{ours}.ff_context.linear_in": f"{theirs}.txt_mlp.0",
            f"{ours}.ff_context.linear_out": f"{theirs}.txt_mlp.2",
        }
    )
    yield from thirds(f"{ours}.attn", f"{theirs}.img_attn.qkv", width)
    yield from thirds(f"{ours}.attn", f"{theirs}.txt_attn.qkv", width, added=True)
