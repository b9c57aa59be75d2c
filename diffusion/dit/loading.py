"""Diffusion transformers from files to modules, whose weights of 8 bits stay as they are."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from diffusion.dit.pieces import Piece, by_source
from diffusion.networks.filling import copied, fill
from diffusion.networks.float8 import FLOAT8, SCALES, keep_narrow, linear_layers
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
    tensors = {}
    scales: dict[str, Tensor | None] = {}
    linear = linear_layers(module)
    wanted = {name for name, _ in module.named_parameters()}
    for name, tensor in _read(part, sources, wanted):
        layer, _, leaf = name.rpartition(".")
        kept = tensor.dtype if tensor.dtype in FLOAT8 else weight_dtype or tensor.dtype
        stays = kept in FLOAT8 and leaf == "weight" and layer in linear
        if stays:
            scales[layer] = None
        tensors[name] = copied(tensor.to(kept), kept if stays else dtype, device)
    scales |= {layer: s for layer, s in _scales(part, sources, device) if layer in scales}
    keep_narrow(module, scales)
    fill(module, part, tensors)
    return module


def size_of(module: nn.Module) -> int:
    """Bytes."""
    return sum(t.nbytes for t in (*module.parameters(), *module.buffers()))


Sources = Mapping[str, list[Piece]] | None


def _read(part: Weights, sources: Sources, wanted: set[str]) -> Iterator[tuple[str, Tensor]]:
    """The module's name and the tensor, of all that is wanted and that the file has names for."""
    for key, piece, leaf in _placed(part, sources):
        if leaf in PARTS and (name := f"{piece.module}.{PARTS[leaf]}") in wanted:
            yield name, piece.of(part[key])
    for key in wanted & set(part):
        if key.rpartition(".")[2] not in PARTS:
            yield key, part[key]


def _scales(part: Weights, sources: Sources, device: torch.device) -> Iterator[tuple[str, Tensor]]:
    """The scales of 8-bit layers, one for the layer or one for each row of its weight."""
    for key, piece, leaf in _placed(part, sources):
        if leaf in SCALES:
            scale = part[key].float()
            scale = scale.reshape(()) if scale.numel() == 1 else piece.of(scale.reshape(-1, 1))
            yield piece.module, copied(scale, torch.float32, device)


def _placed(part: Weights, sources: Sources) -> Iterator[tuple[str, Piece, str]]:
    """Every tensor of the file with the pieces that it is cut in."""
    for key in part:
        layer, _, leaf = key.rpartition(".")
        cut = [Piece(layer, layer)] if sources is None else sources.get(layer, ())
        for piece in cut:
            yield key, piece, leaf
