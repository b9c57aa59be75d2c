"""Loads transformers: what the loaders of all families share."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from diffusion.dit.loading import filled
from diffusion.dit.pieces import Piece
from diffusion.families.family import Found, LoadedModel, Loading
from diffusion.latent_format import LatentFormat
from diffusion.networks.filling import size_of
from diffusion.weights import Weights


def load_transformer(
    found: Found,
    loading: Loading,
    empty: Callable[[Any], nn.Module],
    latent: LatentFormat,
    *,
    pieces: Callable[[Any], Iterable[Piece]] | None = None,
    whole: str | None = None,
    float16: bool = False,
    part: Weights | None = None,
    sees_kept_clean: bool = False,
) -> LoadedModel:
    """The transformer that `empty` makes of a shape, with the tensors of the file.

    `pieces` of the shape cut the tensors of a file whose layers are others than the module's, but
    for files with the tensor `whole`, which have the module's. Unless `float16`, the network
    overflows in it. `part` has the file's tensors under other names.

    Raises:
        BadModelFile: something is missing.
    """
    loading = loading if float16 else loading.without_float16()
    cuts = None if pieces is None or whole in found.part else pieces(found.shape)
    module: Any = filled(
        lambda: empty(found.shape),
        found.part if part is None else part,
        cuts,
        dtype=loading.dtype,
        device=loading.device,
        weight_dtype=loading.weight_dtype,
    )
    return LoadedModel(
        family=found.family,
        module=module,
        shape=found.shape,
        parameterization=found.family.parameterization(found),
        latent_format=latent,
        dtype=loading.dtype,
        size=size_of(module),
        sees_kept_clean=sees_kept_clean,
    )
