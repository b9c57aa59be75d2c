"""Detects the configuration of Chroma Radiance's transformer from its tensors' names and shapes.

(ComfyUI comfy/model_detection.py)
"""

import math
from dataclasses import dataclass

from diffusion.dit.reading import counted, read
from diffusion.families.chroma.shapes import ChromaShape, checked
from diffusion.weights import Weights

MARK = "nerf_blocks.0.param_generator.weight"
CONVOLVED = "nerf_final_layer_conv.conv.weight"
RGB = 3


@dataclass(frozen=True)
class RadianceShape(ChromaShape):
    """Chroma's blocks, and behind them a perceptron for each square of pixels."""

    patch: int  # pixels along a side of a square
    inner: int  # width of that perceptron
    ratio: int  # by which it is wider inside
    depth: int  # of such perceptrons
    waves: int  # along each side, that tell a pixel's place in its square
    convolved: bool  # the last layer sees the pixels around each
    gives_picture: bool  # it answers with a picture, not with a velocity
    numbers_words: bool  # words lie one after the other, not all in one place


def read_shape(weights: Weights) -> RadianceShape | None:
    """The shape of the transformer in `weights` (names without prefix); None where there is none.

    Raises:
        BadModelFile: a transformer that is damaged, or built as none is known to be.
    """
    if MARK not in weights:
        return None
    return checked(weights, read(weights, _shape))


def _shape(weights: Weights) -> RadianceShape:
    width, channels, patch, _ = weights.shape("img_in_patch.weight")
    approximator, time_inputs = weights.shape("distilled_guidance_layer.in_proj.weight")
    inner, read_in = weights.shape("nerf_image_embedder.embedder.0.weight")
    norm = "double_blocks.0.img_attn.norm.query_norm."
    return RadianceShape(
        in_channels=channels,
        width=width,
        mlp=weights.shape("double_blocks.0.img_mlp.0.weight")[0],
        double=counted(weights, "double_blocks.{}."),
        single=counted(weights, "single_blocks.{}."),
        head=weights.shape(f"{norm}{'scale' if f'{norm}scale' in weights else 'weight'}")[0],
        context_dim=weights.shape("txt_in.weight")[1],
        time_inputs=time_inputs,
        approximator=approximator,
        layers=counted(weights, "distilled_guidance_layer.layers.{}."),
        patch=patch,
        inner=inner,
        ratio=weights.shape(MARK)[0] // (3 * inner**2),
        depth=counted(weights, "nerf_blocks.{}."),
        waves=math.isqrt(read_in - channels),
        convolved=CONVOLVED in weights,
        gives_picture="__x0__" in weights,
        numbers_words="__sequential__" in weights,
    )
