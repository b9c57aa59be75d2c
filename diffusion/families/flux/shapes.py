"""Detects the configuration of Flux.1's transformer from its tensors' names and shapes.

In two layouts: Black Forest Labs' (`double_blocks` and `single_blocks`), and diffusers'
(`transformer_blocks`). Depths and widths are the file's own, so pruned relatives load as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from diffusion.dit.reading import check_heads, counted, read
from diffusion.dit.tokens import PATCH
from diffusion.weights import Weights

FIRST_LAYER = "x_embedder.weight"  # as diffusers names it
UNIT = 32  # a head has a multiple of so many channels


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


def widened(shape: FluxShape, patched: Mapping[str, Tensor]) -> FluxShape:
    """The shape of a model whose parameters have become those of `patched`.

    The first layer may have come to read more channels, those of Depth and Canny.
    """
    if FIRST_LAYER not in patched:
        return shape
    return replace(shape, in_channels=patched[FIRST_LAYER].shape[1] // PATCH**2)


def read_shape(weights: Weights) -> FluxShape | None:
    """The shape of the transformer in `weights` (names without prefix); None where there is none.

    Raises:
        BadModelFile: a transformer that is damaged, or built as none is known to be.
    """
    if "double_blocks.0.img_attn.qkv.weight" in weights:
        shape = read(weights, _black_forest)
    elif (
        "transformer_blocks.0.attn.add_q_proj.weight" in weights
        and "single_transformer_blocks.0.attn.to_q.weight" in weights
    ):
        shape = read(weights, _diffusers)
    else:
        return None
    check_heads(weights, width=shape.width, head=shape.head, unit=UNIT)
    return shape


def _black_forest(weights: Weights) -> FluxShape:
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


def _diffusers(weights: Weights) -> FluxShape:
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
