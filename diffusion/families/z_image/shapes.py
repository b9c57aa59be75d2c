"""Detects the configuration of Z-Image's transformer. (ComfyUI comfy/model_detection.py)"""

from diffusion.dit.next_dit_shape import NextDitShape, NextDitTraits, read_next_dit
from diffusion.weights import Weights

MARK = "layers.0.adaLN_modulation.0.weight"  # Lumina 2 has an activation in this place
TRAITS = NextDitTraits(axes=(2, 3, 3), theta=256.0, time_scale=1000.0)
MULTIPLE = 32


def read_shape(weights: Weights) -> NextDitShape | None:
    """The shape of the transformer in `weights` (names without prefix); None where there is none.

    Raises:
        BadModelFile: a transformer that is damaged, or built as none is known to be.
    """
    if MARK not in weights or "cap_embedder.1.weight" not in weights:
        return None
    return read_next_dit(weights, TRAITS, MULTIPLE)
