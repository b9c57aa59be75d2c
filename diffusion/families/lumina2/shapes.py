"""Detects the configuration of Lumina 2's transformer. (ComfyUI comfy/model_detection.py)"""

from diffusion.dit.next_dit_shape import NextDitShape, NextDitTraits, read_next_dit
from diffusion.weights import Weights

MARK = "layers.0.adaLN_modulation.1.weight"  # Z-Image has no activation before it
TRAITS = NextDitTraits(axes=(1, 1, 1), theta=10000.0)


def read_shape(weights: Weights) -> NextDitShape | None:
    """The shape of the transformer in `weights` (names without prefix); None where there is none.

    Raises:
        BadModelFile: a transformer that is damaged, or built as none is known to be.
    """
    if MARK not in weights or "cap_embedder.1.weight" not in weights:
        return None
    return read_next_dit(weights, TRAITS, 1)
