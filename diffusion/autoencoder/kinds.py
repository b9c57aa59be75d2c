"""Recognises the kind of an autoencoder file.

A new kind is one file here that ends in a `VaeKind`, and its entry in KINDS.
"""

import math

import torch

from diffusion.autoencoder.kl import EMBEDDED, KL
from diffusion.autoencoder.ltx import LTX
from diffusion.autoencoder.packed import PACKED
from diffusion.autoencoder.pixel_space import PIXEL
from diffusion.autoencoder.svd import SVD
from diffusion.autoencoder.taesd import TINY
from diffusion.autoencoder.vae import LoadedVae, VaeKind
from diffusion.autoencoder.wan import WAN
from diffusion.weights import Weights

KINDS = (PIXEL, TINY, EMBEDDED, WAN, LTX, PACKED, SVD, KL)  # in the order in which a file is tried


def load_vae(weights: Weights, *, dtype: torch.dtype, device: torch.device) -> LoadedVae:
    """The autoencoder of a checkpoint, or of a file of its own.

    Raises:
        BadModelFile: there is none in it, or it is incomplete.
    """
    kind, part = find_vae(weights)
    return kind.load(part, dtype, device)


def expected_vae_bytes(weights: Weights, *, dtype: torch.dtype) -> int:
    """About what a file's autoencoder takes in memory, by its names and shapes.

    Raises:
        BadModelFile: there is none in it.
    """
    _, part = find_vae(weights)
    return sum(math.prod(part.shape(key)) for key in part) * dtype.itemsize


def find_vae(weights: Weights) -> tuple[VaeKind, Weights]:
    """The kind of autoencoder in a file, and the part of it that is one, named without prefix.

    Raises:
        BadModelFile: no part of it is.
    """
    for kind in KINDS:
        part = kind.find(weights)
        if part is not None:
            return kind, part
    examples = ", ".join(sorted(weights)[:3])
    raise weights.bad(
        problem=f"no autoencoder in it; found {len(weights)} tensors such as {examples}"
    )
