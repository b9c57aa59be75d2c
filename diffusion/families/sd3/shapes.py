"""Detects the configuration of Stable Diffusion 3's transformer from its tensors' names and shapes.

In two layouts: Stability's (`joint_blocks`), and diffusers' (`transformer_blocks`). Depths and
widths are the file's own, so pruned relatives load as well.
"""

import math
from dataclasses import dataclass
from typing import Any

from diffusion.dit.reading import check_heads, counted, read
from diffusion.dit.tokens import PATCH
from diffusion.weights import Weights

HEAD = 64  # channels of a head


@dataclass(frozen=True)
class Sd3Shape:
    """A multimodal transformer of Stable Diffusion 3 or 3.5."""

    in_channels: int
    out_channels: int
    width: int
    depth: int
    context_dim: int
    y_dim: int
    positions: int  # tokens along a side of the table of positions
    dual: tuple[int, ...]  # the blocks with a second attention, to the picture alone
    qk_norm: bool

    def config(self) -> dict[str, Any]:
        """Arguments of `diffusers.SD3Transformer2DModel`."""
        return {
            "sample_size": self.positions * PATCH,
            "patch_size": PATCH,
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "num_layers": self.depth,
            "attention_head_dim": HEAD,
            "num_attention_heads": self.width // HEAD,
            "joint_attention_dim": self.context_dim,
            "caption_projection_dim": self.width,
            "pooled_projection_dim": self.y_dim,
            "pos_embed_max_size": self.positions,
            "dual_attention_layers": self.dual,
            "qk_norm": "rms_norm" if self.qk_norm else None,
        }


def read_shape(weights: Weights) -> Sd3Shape | None:
    """The shape of the transformer in `weights` (names without prefix); None where there is none.

    Raises:
        BadModelFile: a transformer that is damaged, or built as none is known to be.
    """
    if "joint_blocks.0.x_block.attn.qkv.weight" in weights:
        shape = read(weights, _stability)
    elif (
        "transformer_blocks.0.attn.add_q_proj.weight" in weights
        and "pos_embed.proj.weight" in weights
    ):
        shape = read(weights, _diffusers)
    else:
        return None
    check_heads(weights, width=shape.width, head=HEAD, unit=HEAD)
    return shape


def _stability(weights: Weights) -> Sd3Shape:
    width, channels, *_ = weights.shape("x_embedder.proj.weight")
    depth = counted(weights, "joint_blocks.{}.")
    return Sd3Shape(
        in_channels=channels,
        out_channels=weights.shape("final_layer.linear.weight")[0] // PATCH**2,
        width=width,
        depth=depth,
        context_dim=weights.shape("context_embedder.weight")[1],
        y_dim=weights.shape("y_embedder.mlp.0.weight")[1],
        positions=_side(weights.shape("pos_embed")[1]),
        dual=_those_with(weights, "joint_blocks.{}.x_block.attn2.qkv.weight", depth),
        qk_norm="joint_blocks.0.x_block.attn.ln_q.weight" in weights,
    )


def _diffusers(weights: Weights) -> Sd3Shape:
    width, channels, *_ = weights.shape("pos_embed.proj.weight")
    depth = counted(weights, "transformer_blocks.{}.")
    return Sd3Shape(
        in_channels=channels,
        out_channels=weights.shape("proj_out.weight")[0] // PATCH**2,
        width=width,
        depth=depth,
        context_dim=weights.shape("context_embedder.weight")[1],
        y_dim=weights.shape("time_text_embed.text_embedder.linear_1.weight")[1],
        positions=_side(weights.shape("pos_embed.pos_embed")[1]),
        dual=_those_with(weights, "transformer_blocks.{}.attn2.to_q.weight", depth),
        qk_norm="transformer_blocks.0.attn.norm_q.weight" in weights,
    )


def _those_with(weights: Weights, pattern: str, depth: int) -> tuple[int, ...]:
    return tuple(index for index in range(depth) if pattern.format(index) in weights)


def _side(tokens: int) -> int:
    side = math.isqrt(tokens)
    if side * side != tokens:
        problem = f"{tokens} positions are no square"
        raise ValueError(problem)
    return side
