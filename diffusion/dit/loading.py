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
    for key, own in _placed(part, sources, wanted):
        packs = part.is_packed(key) and layers >= own.keys()
        whole = part.packed(key) if packs else None
        cuts = {} if whole is None else _cut(whole, own)
        packed |= {name: kept(cut, device) for name, cut in cuts.items()}
        if len(cuts) == len(own):
            continue
        dense = part[key] if whole is None else whole.dense(torch.float32)
        for name in own.keys() - cuts.keys():
            tensor = own[name].of(dense)
            own_dtype = tensor.dtype if tensor.dtype in FLOAT8 else weight_dtype or tensor.dtype
            if own_dtype in FLOAT8 and name in layers:
                packed[name] = plain(copied(tensor, own_dtype, device))
            else:
                tensors[name] = copied(tensor.to(own_dtype), dtype, device)
    fill(module, part, tensors, packed)
    return module


def _cut(whole: Packed, pieces: Mapping[str, Piece]) -> dict[str, Packed]:
    """The pieces of a packed matrix, but for those that cut through what is packed together."""
    cuts = {name: whole.cut(piece.rows(whole.shape[0])) for name, piece in pieces.items()}
    return {name: cut for name, cut in cuts.items() if cut is not None}


def _placed(
    part: Weights, sources: Mapping[str, list[Piece]] | None, wanted: set[str]
) -> Iterator[tuple[str, dict[str, Piece]]]:
    """Each tensor of the file that is wanted, and by the module's names the pieces of it."""
    for key in part:
        layer, _, leaf = key.rpartition(".")
        if leaf in PARTS:
            pieces = [Piece(layer, layer)] if sources is None else sources.get(layer, ())
            named = {f"{piece.module}.{PARTS[leaf]}": piece for piece in pieces}
            if own := {name: piece for name, piece in named.items() if name in wanted}:
                yield key, own
        elif key in wanted:
            yield key, {key: Piece(key, key)}
