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
    pieces: Iterable[Piece] | None = None,
    part: Weights | None = None,
    sees_kept_clean: bool = False,
) -> LoadedModel:
    """The transformer that `empty` makes of a shape, with the tensors of the file.

    `pieces` cut the tensors of a file whose layers are others than the module's. `part` has the
    file's tensors under other names.

    Raises:
        BadModelFile: something is missing.
    """
    module: Any = filled(
        lambda: empty(found.shape),
        found.part if part is None else part,
        pieces,
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
