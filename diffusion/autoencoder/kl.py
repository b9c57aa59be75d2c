"""Stable Diffusion's autoencoders and their kin, from files in LDM's or diffusers' layout."""

from collections.abc import Callable, Iterator, Mapping
from itertools import count, takewhile

import torch
from torch import Tensor

from diffusion.autoencoder.network import Autoencoder, VaeShape
from diffusion.autoencoder.vae import LoadedVae, VaeKind
from diffusion.networks.filling import copied, fill, size_of
from diffusion.weights import Weights

# Where a checkpoint keeps its autoencoder, and "" for a file that holds nothing else.
PREFIXES = ("first_stage_model.", "vae.", "")
EMBEDDED_PREFIX = "conditioner.embedders.1.encoder."
QUANT = ("quant_conv.weight", "post_quant_conv.weight")
MID: Mapping[str, str] = {
    "mid.block_1": "mid_block.resnets.0",
    "mid.block_2": "mid_block.resnets.1",
    "mid.attn_1.norm": "mid_block.attentions.0.group_norm",
    "mid.attn_1.q": "mid_block.attentions.0.to_q",
    "mid.attn_1.k": "mid_block.attentions.0.to_k",
    "mid.attn_1.v": "mid_block.attentions.0.to_v",
    "mid.attn_1.proj_out": "mid_block.attentions.0.to_out.0",
    "norm_out": "conv_norm_out",
}


def find_embedded(weights: Weights) -> Weights | None:
    """That of Stable Video 3D, beside which a checkpoint has another."""
    part = weights.under(EMBEDDED_PREFIX)
    return part if "decoder.conv_in.weight" in part and "encoder.conv_in.weight" in part else None


def find(weights: Weights) -> Weights | None:
    """The part of a file that is one, named without prefix."""
    for prefix in PREFIXES:
        part = weights.under(prefix)
        if "decoder.conv_in.weight" in part and "encoder.conv_in.weight" in part:
            return part
    return None


def load(
    part: Weights,
    dtype: torch.dtype,
    device: torch.device,
    *,
    make: Callable[[VaeShape], Autoencoder] = Autoencoder,
    decodes_together: bool = False,
) -> LoadedVae:
    """Raises BadModelFile where something is missing."""
    try:
        shape = read_shape(part)
    except (KeyError, ValueError) as error:
        raise part.bad(problem=f"its autoencoder is incomplete: {error}") from error
    with torch.device("meta"):
        module = make(shape)
    fill(module, part, _tensors(module, part, shape, dtype, device))
    downscale = 2 ** (len(shape.channels) - 1)
    return LoadedVae(
        module,
        shape.latent_channels,
        downscale,
        dtype,
        device,
        size_of(module),
        decodes_together=decodes_together,
    )


def read_shape(weights: Weights) -> VaeShape:
    """The shape of the autoencoder in `weights`, whose names have no prefix."""
    level = (
        "encoder.down_blocks.{}.resnets." if _is_diffusers(weights) else "encoder.down.{}.block."
    )
    levels = _count(weights, level)
    ups = range(levels)
    up = "decoder.up.{}.block."
    if _is_diffusers(weights):
        ups, up = ups[::-1], "decoder.up_blocks.{}.resnets."
    widths, of_decoder = (
        tuple(weights.shape(name.format(i) + "0.conv1.weight")[0] for i in places)
        for name, places in ((level, range(levels)), (up, ups))
    )
    return VaeShape(
        channels=widths,
        layers=_count(weights, level.format(0) + "{}."),
        latent_channels=weights.shape("decoder.conv_in.weight")[1],
        quant=all(key in weights for key in QUANT),
        decoder_channels=() if of_decoder == widths else of_decoder,
    )


def _is_diffusers(weights: Weights) -> bool:
    return "encoder.down_blocks.0.resnets.0.norm1.weight" in weights


def _count(weights: Weights, pattern: str) -> int:
    starts = (pattern.format(index) for index in count())
    return len(list(takewhile(lambda s: any(key.startswith(s) for key in weights), starts)))


def _tensors(
    module: Autoencoder, part: Weights, shape: VaeShape, dtype: torch.dtype, device: torch.device
) -> dict[str, Tensor]:
    parameters = dict(module.named_parameters())
    tensors = {}
    for name, key in _keys(part, shape).items():
        if name in parameters:
            tensor = copied(part[key], dtype, device)
            # LDM's attention projects with 1x1 convolutions, ours with linear layers.
            squeezed = tensor.ndim == 4 and parameters[name].ndim == 2
            tensors[name] = tensor[:, :, 0, 0] if squeezed else tensor
    return tensors


def _keys(weights: Weights, shape: VaeShape) -> dict[str, str]:
    """diffusers' key -> the key in `weights`."""
    if _is_diffusers(weights):
        return {_modern(key): key for key in weights}
    names = dict(module_names(len(shape.channels)))
    found = {}
    for key in weights:
        start = key
        while start and start not in names:
            start = start.rpartition(".")[0]
        name = names[start] + key.removeprefix(start) if start else key
        found[name.replace(".nin_shortcut.", ".conv_shortcut.")] = key
    return found


def _modern(key: str) -> str:
    """diffusers' key of today for one that it wrote before it had one attention class."""
    old = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
    return ".".join(
        old.get(part, part) if ".attentions." in key else part for part in key.split(".")
    )


def module_names(levels: int) -> Iterator[tuple[str, str]]:
    """LDM's name of a module and diffusers' name of it, whose decoder counts from the bottom."""
    for side in ("encoder", "decoder"):
        for ldm, diffusers in MID.items():
            yield f"{side}.{ldm}", f"{side}.{diffusers}"
    for i in range(levels):
        up = levels - 1 - i
        yield f"encoder.down.{i}.block", f"encoder.down_blocks.{i}.resnets"
        yield f"encoder.down.{i}.downsample", f"encoder.down_blocks.{i}.downsamplers.0"
        yield f"decoder.up.{i}.block", f"decoder.up_blocks.{up}.resnets"
        yield f"decoder.up.{i}.upsample", f"decoder.up_blocks.{up}.upsamplers.0"


KL = VaeKind(find, load)
EMBEDDED = VaeKind(find_embedded, load)
