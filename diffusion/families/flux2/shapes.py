"""Detects the configuration of Flux.2's transformer from its tensors' names and shapes.

In two layouts: Black Forest Labs' (`double_blocks` and `single_blocks`), and diffusers'
(`transformer_blocks`). Depths and widths are the file's own.
"""

from dataclasses import dataclass
from typing import Any

from diffusion.dit.reading import check_heads, counted, read
from diffusion.weights import Weights

AXES = (32, 32, 32, 32)  # channels of a head that tell where a token lies
HEAD = sum(AXES)
THETA = 2000
MARKS = ("double_stream_modulation_img.lin.weight", "double_stream_modulation_img.linear.weight")


@dataclass(frozen=True)
class Flux2Shape:
    """A transformer of Flux.2, whose blocks of a kind share one modulation."""

    in_channels: int
    width: int
    mlp: int  # channels between the two layers of a perceptron
    double: int
    single: int
    context_dim: int
    guided: bool  # told how strongly to follow the prompt

    def config(self) -> dict[str, Any]:
        """Arguments of `diffusers.Flux2Transformer2DModel`."""
        return {
            "patch_size": 1,
            "in_channels": self.in_channels,
            "num_layers": self.double,
            "num_single_layers": self.single,
            "attention_head_dim": HEAD,
            "num_attention_heads": self.width // HEAD,
            "joint_attention_dim": self.context_dim,
            "mlp_ratio": self.mlp / self.width,
            "axes_dims_rope": AXES,
            "rope_theta": THETA,
            "guidance_embeds": self.guided,
        }


def read_shape(weights: Weights) -> Flux2Shape | None:
    """The shape of the transformer in `weights` (names without prefix); None where there is none.

    Raises:
        BadModelFile: a transformer that is damaged, or built as none is known to be.
    """
    own, diffusers = MARKS
    if own in weights:
        shape = read(weights, _black_forest)
    elif diffusers in weights:
        shape = read(weights, _diffusers)
    else:
        return None
    check_heads(weights, width=shape.width, head=HEAD, unit=HEAD)
    return shape


def _black_forest(weights: Weights) -> Flux2Shape:
    width, channels = weights.shape("img_in.weight")
    return Flux2Shape(
        in_channels=channels,
        width=width,
        mlp=weights.shape("double_blocks.0.img_mlp.2.weight")[1],
        double=counted(weights, "double_blocks.{}."),
        single=counted(weights, "single_blocks.{}."),
        context_dim=weights.shape("txt_in.weight")[1],
        guided="guidance_in.in_layer.weight" in weights,
    )


def _diffusers(weights: Weights) -> Flux2Shape:
    width, channels = weights.shape("x_embedder.weight")
    return Flux2Shape(
        in_channels=channels,
        width=width,
        mlp=weights.shape("transformer_blocks.0.ff.linear_out.weight")[1],
        double=counted(weights, "transformer_blocks.{}."),
        single=counted(weights, "single_transformer_blocks.{}."),
        context_dim=weights.shape("context_embedder.weight")[1],
        guided="time_guidance_embed.guidance_embedder.linear_1.weight" in weights,
    )
