"""How files name the tensors of diffusion transformers, and what diffusers calls them.

A file's layer may be several of diffusers': queries, keys and values in one matrix. And the last
modulation comes in another order: shift before scale. So a file's tensor is told as pieces.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from diffusion.dit.shapes import DitShape, FluxShape, Sd3Shape


@dataclass(frozen=True)
class Piece:
    """A module of diffusers' as rows `start` to `stop` of a file's module, in order or `swapped`.

    `stop` None is the end. Swapped: the second half of the rows comes first.
    """

    module: str  # diffusers' name
    source: str  # the file's
    start: int = 0
    stop: int | None = None
    swapped: bool = False

    def of(self, tensor: Tensor) -> Tensor:
        """The piece of a weight, a bias or a scale."""
        if self.swapped:
            first, second = tensor.chunk(2)
            return torch.cat([second, first])
        if self.stop is None and self.start == 0:
            return tensor
        return tensor[self.start : self.stop]


def pieces(shape: DitShape) -> list[Piece]:
    """All modules of a transformer of the reference layout."""
    return list(_sd3(shape) if isinstance(shape, Sd3Shape) else _flux(shape))


def _sd3(shape: Sd3Shape) -> Iterator[Piece]:
    yield from _named(
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
    yield from _named(
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


def _flux(shape: FluxShape) -> Iterator[Piece]:
    embedders = {"timestep": "time_in", "guidance": "guidance_in", "text": "vector_in"}
    for ours, theirs in embedders.items():
        yield Piece(f"time_text_embed.{ours}_embedder.linear_1", f"{theirs}.in_layer")
        yield Piece(f"time_text_embed.{ours}_embedder.linear_2", f"{theirs}.out_layer")
    yield from _named(
        {"x_embedder": "img_in", "context_embedder": "txt_in", "proj_out": "final_layer.linear"}
    )
    yield Piece("norm_out.linear", "final_layer.adaLN_modulation.1", swapped=True)
    for i in range(shape.double):
        yield from _double_block(f"transformer_blocks.{i}", f"double_blocks.{i}", shape.width)
    for i in range(shape.single):
        yield from _single_block(f"single_transformer_blocks.{i}", f"single_blocks.{i}", shape)


def _double_block(ours: str, theirs: str, width: int) -> Iterator[Piece]:
    yield from _named(
        {
            f"{ours}.norm1.linear": f"{theirs}.img_mod.lin",
            f"{ours}.norm1_context.linear": f"{theirs}.txt_mod.lin",
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


def _single_block(ours: str, theirs: str, shape: FluxShape) -> Iterator[Piece]:
    yield from _named(
        {
            f"{ours}.norm.linear": f"{theirs}.modulation.lin",
            f"{ours}.attn.norm_q": f"{theirs}.norm.query_norm",
            f"{ours}.attn.norm_k": f"{theirs}.norm.key_norm",
            f"{ours}.proj_out": f"{theirs}.linear2",
        }
    )
    yield from thirds(f"{ours}.attn", f"{theirs}.linear1", shape.width)
    start = 3 * shape.width
    yield Piece(f"{ours}.proj_mlp", f"{theirs}.linear1", start, start + shape.mlp)


def thirds(attn: str, source: str, width: int, *, added: bool = False) -> Iterator[Piece]:
    """Queries, keys and values; `added` are the text's."""
    names = ("add_q_proj", "add_k_proj", "add_v_proj") if added else ("to_q", "to_k", "to_v")
    for place, name in enumerate(names):
        yield Piece(f"{attn}.{name}", source, place * width, (place + 1) * width)


def _named(names: Mapping[str, str]) -> Iterator[Piece]:
    return (Piece(ours, theirs) for ours, theirs in names.items())
