"""What a diffusion transformer looks like, read from the names and shapes of its tensors.

Two families, each in two layouts: Stable Diffusion 3's (`joint_blocks` in Stability's files) and
Flux's (`double_blocks` and `single_blocks` in Black Forest Labs'), and both as diffusers names them
(`transformer_blocks`). Depths and widths are the file's own, so pruned relatives load as well.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count, takewhile
from typing import Any, TypeAlias, TypeVar

from torch import Tensor

from diffusion.weights import Weights

PATCH = 2  # latent pixels along a side of a token
FIRST_LAYER = "x_embedder.weight"  # of Flux, as diffusers names it
HEAD = 64  # channels of a head of Stable Diffusion 3


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


@dataclass(frozen=True)
class FluxShape:
    """A transformer of Flux.1, whose text and picture part ways in `double` blocks only."""

    in_channels: int  # beside the latent's own: what is filled in, or what it goes by
    out_channels: int
    width: int
    mlp: int  # channels between the two layers of a perceptron
    double: int
    single: int
    head: int  # channels of a head
    context_dim: int
    y_dim: int
    guided: bool  # told how strongly to follow the prompt

    @property
    def axes(self) -> tuple[int, int, int]:
        """Channels of a head that tell a token's picture, row and column."""
        return self.head // 8, self.head * 7 // 16, self.head * 7 // 16

    def config(self) -> dict[str, Any]:
        """Arguments of `diffusers.FluxTransformer2DModel`."""
        return {
            "patch_size": 1,
            "in_channels": self.in_channels * PATCH**2,
            "out_channels": self.out_channels * PATCH**2,
            "num_layers": self.double,
            "num_single_layers": self.single,
            "attention_head_dim": self.head,
            "num_attention_heads": self.width // self.head,
            "joint_attention_dim": self.context_dim,
            "pooled_projection_dim": self.y_dim,
            "guidance_embeds": self.guided,
            "axes_dims_rope": self.axes,
        }


DitShape: TypeAlias = Sd3Shape | FluxShape
S = TypeVar("S")


def told_more(shape: S, patched: Mapping[str, Tensor]) -> S:
    """The shape of a model whose parameters have become those of `patched`.

    Flux's first layer may have come to read more channels, those of Depth and Canny.
    """
    if not isinstance(shape, FluxShape) or FIRST_LAYER not in patched:
        return shape
    return replace(shape, in_channels=patched[FIRST_LAYER].shape[1] // PATCH**2)


def read_dit_shape(weights: Weights) -> DitShape | None:
    """The shape of the transformer in `weights` (names without prefix); None where there is none.

    Raises:
        BadModelFile: a transformer that is damaged, or built as none is known to be.
    """
    try:
        if "joint_blocks.0.x_block.attn.qkv.weight" in weights:
            shape: DitShape = _sd3(weights)
        elif "double_blocks.0.img_attn.qkv.weight" in weights:
            shape = _flux(weights)
        elif "transformer_blocks.0.attn.add_q_proj.weight" in weights:
            is_flux = "single_transformer_blocks.0.attn.to_q.weight" in weights
            shape = _diffusers_flux(weights) if is_flux else _diffusers_sd3(weights)
        else:
            return None
    except (KeyError, IndexError, ValueError) as error:
        raise weights.bad(problem=f"its transformer is incomplete: {error}") from error
    _check(shape, weights)
    return shape


def _check(shape: DitShape, weights: Weights) -> None:
    head, unit = (HEAD, HEAD) if isinstance(shape, Sd3Shape) else (shape.head, 32)
    if min(head, shape.width) <= 0 or head % unit or shape.width % head:
        raise weights.bad(problem=f"its transformer has width {shape.width} and heads of {head}")


def _sd3(weights: Weights) -> Sd3Shape:
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


def _diffusers_sd3(weights: Weights) -> Sd3Shape:
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


def _flux(weights: Weights) -> FluxShape:
    width, channels = weights.shape("img_in.weight")
    return FluxShape(
        in_channels=channels // PATCH**2,
        out_channels=weights.shape("final_layer.linear.weight")[0] // PATCH**2,
        width=width,
        mlp=weights.shape("double_blocks.0.img_mlp.0.weight")[0],
        double=counted(weights, "double_blocks.{}."),
        single=counted(weights, "single_blocks.{}."),
        head=weights.shape("double_blocks.0.img_attn.norm.query_norm.scale")[0],
        context_dim=weights.shape("txt_in.weight")[1],
        y_dim=weights.shape("vector_in.in_layer.weight")[1],
        guided="guidance_in.in_layer.weight" in weights,
    )


def _diffusers_flux(weights: Weights) -> FluxShape:
    width, channels = weights.shape("x_embedder.weight")
    embedder = "time_text_embed.guidance_embedder.linear_1.weight"
    return FluxShape(
        in_channels=channels // PATCH**2,
        out_channels=weights.shape("proj_out.weight")[0] // PATCH**2,
        width=width,
        mlp=weights.shape("transformer_blocks.0.ff.net.0.proj.weight")[0],
        double=counted(weights, "transformer_blocks.{}."),
        single=counted(weights, "single_transformer_blocks.{}."),
        head=weights.shape("transformer_blocks.0.attn.norm_q.weight")[0],
        context_dim=weights.shape("context_embedder.weight")[1],
        y_dim=weights.shape("time_text_embed.text_embedder.linear_1.weight")[1],
        guided=embedder in weights,
    )


def counted(weights: Weights, pattern: str) -> int:
    """How many of `pattern`, which has a {} for the index, there are in a row."""
    starts = (pattern.format(index) for index in count())
    return len(list(takewhile(lambda s: any(key.startswith(s) for key in weights), starts)))


def _those_with(weights: Weights, pattern: str, depth: int) -> tuple[int, ...]:
    return tuple(index for index in range(depth) if pattern.format(index) in weights)


def _side(tokens: int) -> int:
    side = math.isqrt(tokens)
    if side * side != tokens:
        problem = f"{tokens} positions are no square"
        raise ValueError(problem)
    return side
