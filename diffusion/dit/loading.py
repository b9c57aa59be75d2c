"""Loads diffusion transformers; weights of at most 8 bits stay packed."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from diffusion.dit.pieces import Piece, by_source
from diffusion.networks.filling import copied, fill, kept
from diffusion.networks.packed_layers import FLOAT8, linear_layers, plain
from diffusion.packing.packed import Packed
from diffusion.weights import Weights

PARTS: Mapping[str, str] = {"weight": "weight", "bias": "bias", "scale": "weight"}


def filled(
    empty: Callable[[], nn.Module],
    part: Weights,
    pieces: Iterable[Piece] | None,
    *,
    dtype: torch.dtype,
    device: torch.device,
    weight_dtype: torch.dtype | None = None,
) -> nn.Module:
    """The module that `empty` makes, with the tensors of a file, which `pieces` cut.

    Without `pieces` the file names its tensors as the module does, and so it names parameters
    that are no layer's. `weight_dtype`, of 8 bits, is what weights are brought to.

    Raises:
        BadModelFile: the file is incomplete.
    """
    with torch.device("meta"):
        module = empty()
    sources = None if pieces is None else by_source(pieces)
    tensors: dict[str, Tensor] = {}
    packed: dict[str, Packed] = {}
    layers = {f"{name}.weight" for name in linear_layers(module)}
    wanted = {name for name, _ in module.named_parameters()}
    for name, key, piece in _placed(part, sources, wanted):
        whole = part.packed(key) if part.is_packed(key) and name in layers else None
        own = None if whole is None else whole.cut(piece.rows(whole.shape[0]))
        if own is not None:
            packed[name] = kept(own, device)
            continue
        tensor = piece.of(part[key] if whole is None else whole.dense(torch.float32))
        own_dtype = tensor.dtype if tensor.dtype in FLOAT8 else weight_dtype or tensor.dtype
        if own_dtype in FLOAT8 and name in layers:
            packed[name] = plain(copied(tensor, own_dtype, device))
        else:
            tensors[name] = copied(tensor.to(own_dtype), dtype, device)
    fill(module, part, tensors, packed)
    return module


def _placed(
    part: Weights, sources: Mapping[str, list[Piece]] | None, wanted: set[str]
) -> Iterator[tuple[str, str, Piece]]:
    """The module's name, the file's, and the piece, of all that is wanted and that the file has."""
    for key in part:
        layer, _, leaf = key.rpartition(".")
        if leaf in PARTS:
            for piece in [Piece(layer, layer)] if sources is None else sources.get(layer, ()):
                if (name := f"{piece.module}.{PARTS[leaf]}") in wanted:
                    yield name, key, piece
        elif key in wanted:
            yield key, key, Piece(key, key)
