"""Diffusion transformers (Stable Diffusion 3, Flux.1), from files to diffusers modules."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor, nn

from diffusion.dit.pieces import Piece, pieces
from diffusion.dit.shapes import DitShape, Sd3Shape, read_dit_shape
from diffusion.families.sd.loading import PREFIXES, LatentFormat, Parameterization
from diffusion.networks.filling import copied, fill
from diffusion.networks.float8 import FLOAT8, SCALES, keep_narrow, linear_layers
from diffusion.weights import Weights

if TYPE_CHECKING:
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
    from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel

DitFamily = Literal["sd3", "flux"]

SD3_LATENT = LatentFormat(16, 1.5305, 0.0609)
FLUX_LATENT = LatentFormat(16, 0.3611, 0.1159)
SD3_FLOW = Parameterization("flow", shift=3.0)
DEV_FLOW = Parameterization("flux", shift=1.15)
SCHNELL_FLOW = Parameterization("flow", shift=1.0, multiplier=1.0)
POSITIONS = "pos_embed"  # a table that is no parameter, in Stability's layout and in diffusers'
PARTS: Mapping[str, str] = {"weight": "weight", "bias": "bias", "scale": "weight"}


@dataclass(frozen=True, eq=False)
class LoadedDit:
    """A diffusion transformer, ready to run."""

    y_kind: ClassVar[Literal["pooled"]] = "pooled"
    module: "SD3Transformer2DModel | FluxTransformer2DModel"
    family: DitFamily
    shape: DitShape
    parameterization: Parameterization
    latent_format: LatentFormat
    dtype: torch.dtype  # in which it computes
    size: int  # bytes
    warnings: tuple[str, ...] = ()  # about the files it was made of

    @property
    def in_channels(self) -> int:
        """The latent's 16, and with Flux's tools those that ride beside it."""
        return self.shape.in_channels


def find_dit(weights: Weights) -> tuple[Weights, DitShape] | None:
    """The part of a file that is a transformer, named without prefix, and its shape.

    Raises:
        BadModelFile: it is damaged.
    """
    for prefix in PREFIXES:
        part = weights.under(prefix)
        shape = read_dit_shape(part)
        if shape is not None:
            return part, shape
    return None


def load_dit(
    part: Weights,
    shape: DitShape,
    *,
    dtype: torch.dtype,
    device: torch.device,
    weight_dtype: torch.dtype | None = None,
) -> LoadedDit:
    """The transformer that `find_dit` found. Weights of 8 bits stay as they are.

    `weight_dtype`, of 8 bits, is what the others are brought to.

    Raises:
        BadModelFile: it is incomplete.
    """
    family: DitFamily = "sd3" if isinstance(shape, Sd3Shape) else "flux"
    if family == "flux" and dtype == torch.float16:
        dtype = torch.bfloat16  # it overflows in float16
    module = _empty(shape)
    tensors = {}
    scales: dict[str, Tensor | None] = {}
    linear = linear_layers(module)
    wanted = {name for name, _ in module.named_parameters()}
    for name, tensor in _read(part, shape):
        layer, _, leaf = name.rpartition(".")
        if name not in wanted:
            continue
        kept = tensor.dtype if tensor.dtype in FLOAT8 else weight_dtype or tensor.dtype
        stays = kept in FLOAT8 and leaf == "weight" and layer in linear
        if stays:
            scales[layer] = None
        tensors[name] = copied(tensor.to(kept), kept if stays else dtype, device)
    scales |= {layer: s for layer, s in _scales(part, shape, device) if layer in scales}
    keep_narrow(module, scales)
    fill(module, part, tensors)
    _place_positions(module, part, dtype, device)
    return LoadedDit(
        module=module,
        family=family,
        shape=shape,
        parameterization=flow_of(shape),
        latent_format=SD3_LATENT if family == "sd3" else FLUX_LATENT,
        dtype=dtype,
        size=sum(t.nbytes for t in (*module.parameters(), *module.buffers())),
    )


def flow_of(shape: DitShape) -> Parameterization:
    """How its family's time runs. (ComfyUI supported_models.py, SD3, Flux and FluxSchnell)"""
    if isinstance(shape, Sd3Shape):
        return SD3_FLOW
    return DEV_FLOW if shape.guided else SCHNELL_FLOW


def _empty(shape: DitShape) -> "SD3Transformer2DModel | FluxTransformer2DModel":
    # Here and not at the top: importing these classes takes many seconds, and only stages that
    # sample need them.
    from diffusers.models.transformers import transformer_flux, transformer_sd3  # noqa: PLC0415

    module: SD3Transformer2DModel | FluxTransformer2DModel
    with torch.device("meta"):
        if isinstance(shape, Sd3Shape):
            module = transformer_sd3.SD3Transformer2DModel(**shape.config())
        else:
            module = transformer_flux.FluxTransformer2DModel(**shape.config())
    return module


def _read(part: Weights, shape: DitShape) -> Iterator[tuple[str, Tensor]]:
    """diffusers' name and the tensor, of all that the file has names for."""
    for key, piece, leaf in _placed(part, shape):
        if leaf in PARTS:
            yield f"{piece.module}.{PARTS[leaf]}", piece.of(part[key])


def _scales(part: Weights, shape: DitShape, device: torch.device) -> Iterator[tuple[str, Tensor]]:
    """The scales of 8-bit layers, one for the layer or one for each row of its weight."""
    for key, piece, leaf in _placed(part, shape):
        if leaf in SCALES:
            scale = part[key].float()
            scale = scale.reshape(()) if scale.numel() == 1 else piece.of(scale.reshape(-1, 1))
            yield piece.module, copied(scale, torch.float32, device)


def _placed(part: Weights, shape: DitShape) -> Iterator[tuple[str, Piece, str]]:
    """Every tensor of the file with the pieces that it is cut in."""
    if "transformer_blocks.0.attn.to_q.weight" in part:
        for key in part:
            layer, _, leaf = key.rpartition(".")
            yield key, Piece(layer, layer), leaf
        return
    by_source: dict[str, list[Piece]] = {}
    for piece in pieces(shape):
        by_source.setdefault(piece.source, []).append(piece)
    for key in part:
        layer, _, leaf = key.rpartition(".")
        for piece in by_source.get(layer, ()):
            yield key, piece, leaf


def _place_positions(
    module: nn.Module, part: Weights, dtype: torch.dtype, device: torch.device
) -> None:
    """Give Stable Diffusion 3 the file's own table of positions."""
    for key in (POSITIONS, f"{POSITIONS}.{POSITIONS}"):
        if key in part:
            module.get_submodule(POSITIONS).register_buffer(
                POSITIONS, copied(part[key], dtype, device)
            )
