"""Autoencoders: pictures to latents and back, as ComfyUI's `VAE` does (comfy/sd.py)."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, takewhile

import torch
from torch import Tensor

from diffusion.autoencoder.network import Autoencoder, VaeShape
from diffusion.autoencoder.taesd import DOWNSCALE, TinyAutoencoder, is_tiny, load_tiny
from diffusion.networks.filling import copied, fill
from diffusion.weights import Weights

# Where a checkpoint keeps its autoencoder, and "" for a file that holds nothing else.
PREFIXES = ("first_stage_model.", "vae.", "")
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


@dataclass(frozen=True, eq=False)
class LoadedVae:
    """An autoencoder, ready to run."""

    module: Autoencoder | TinyAutoencoder
    latent_channels: int
    downscale: int  # pixels per latent pixel along a side
    dtype: torch.dtype
    device: torch.device
    size: int  # bytes


def load_vae(weights: Weights, *, dtype: torch.dtype, device: torch.device) -> LoadedVae:
    """The autoencoder of a checkpoint, or of a file of its own, in LDM's or diffusers' layout.

    Raises:
        BadModelFile: there is none in it, or it is incomplete.
    """
    if is_tiny(weights):
        tiny = load_tiny(weights, dtype, device)
        return _loaded(tiny, weights.shape("taesd_decoder.1.weight")[1], DOWNSCALE, (dtype, device))
    part = find_vae(weights)
    try:
        shape = read_shape(part)
    except (KeyError, ValueError) as error:
        raise weights.bad(problem=f"its autoencoder is incomplete: {error}") from error
    module = _module(part, shape, dtype, device)
    downscale = 2 ** (len(shape.channels) - 1)
    return _loaded(module, shape.latent_channels, downscale, (dtype, device))


def expected_vae_bytes(weights: Weights, *, dtype: torch.dtype) -> int:
    """About what a file's autoencoder takes in memory, by its names and shapes.

    Raises:
        BadModelFile: there is none in it.
    """
    part = weights if is_tiny(weights) else find_vae(weights)
    return sum(math.prod(part.shape(key)) for key in part) * dtype.itemsize


def _loaded(
    module: Autoencoder | TinyAutoencoder,
    latent_channels: int,
    downscale: int,
    place: tuple[torch.dtype, torch.device],
) -> LoadedVae:
    size = sum(p.numel() * p.element_size() for p in module.parameters())
    return LoadedVae(module, latent_channels, downscale, *place, size)


def find_vae(weights: Weights) -> Weights:
    """The part of a file that is an autoencoder, named without prefix.

    Raises:
        BadModelFile: no part of it is.
    """
    for prefix in PREFIXES:
        part = weights.under(prefix)
        if "decoder.conv_in.weight" in part and "encoder.conv_in.weight" in part:
            return part
    examples = ", ".join(sorted(weights)[:3])
    raise weights.bad(
        problem=f"no autoencoder in it; found {len(weights)} tensors such as {examples}"
    )


def read_shape(weights: Weights) -> VaeShape:
    """The shape of the autoencoder in `weights`, whose names have no prefix."""
    level = (
        "encoder.down_blocks.{}.resnets." if _is_diffusers(weights) else "encoder.down.{}.block."
    )
    levels = _count(weights, level)
    return VaeShape(
        channels=tuple(weights.shape(level.format(i) + "0.conv1.weight")[0] for i in range(levels)),
        layers=_count(weights, level.format(0) + "{}."),
        latent_channels=weights.shape("decoder.conv_in.weight")[1],
        quant=all(key in weights for key in QUANT),
    )


def _is_diffusers(weights: Weights) -> bool:
    return "encoder.down_blocks.0.resnets.0.norm1.weight" in weights


def _count(weights: Weights, pattern: str) -> int:
    starts = (pattern.format(index) for index in count())
    return len(list(takewhile(lambda s: any(key.startswith(s) for key in weights), starts)))


def _module(
    part: Weights, shape: VaeShape, dtype: torch.dtype, device: torch.device
) -> Autoencoder:
    with torch.device("meta"):
        module = Autoencoder(shape)
    parameters = dict(module.named_parameters())
    tensors = {}
    for name, key in _keys(part, shape).items():
        if name in parameters:
            tensor = copied(part[key], dtype, device)
            # LDM's attention projects with 1x1 convolutions, ours with linear layers.
            squeezed = tensor.ndim == 4 and parameters[name].ndim == 2
            tensors[name] = tensor[:, :, 0, 0] if squeezed else tensor
    fill(module, part, tensors)
    return module


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


@torch.inference_mode()
def decode(vae: LoadedVae, latent: Tensor) -> Tensor:
    """Pictures [B, H, W, 3] in 0..1, float32 on the CPU, of `latent` [B, C, h, w].

    One at a time, so that memory does not grow with the batch.
    """
    return torch.cat([_decoded(vae, item[None]) for item in latent])


def _decoded(vae: LoadedVae, latent: Tensor) -> Tensor:
    return to_image(vae.module.decode(latent.to(vae.device, vae.dtype)))


def to_image(pixels: Tensor) -> Tensor:
    """[B, 3, H, W] around -1..1, as the decoder gives it, to a picture on the CPU."""
    return ((pixels.float().cpu() + 1) / 2).clamp(0, 1).movedim(1, -1)


@torch.inference_mode()
def encode(vae: LoadedVae, image: Tensor) -> Tensor:
    """Latents [B, C, h, w], float32 on the CPU, of `image` [B, H, W, 3 or 4] in 0..1.

    The picture is cut, evenly around its middle, to a multiple of what a latent pixel covers.
    """
    pixels = cut_to_multiple(image[..., :3], vae.downscale).movedim(-1, 1)
    return torch.cat([_encoded(vae, item[None]) for item in pixels])


def _encoded(vae: LoadedVae, pixels: Tensor) -> Tensor:
    scaled = (pixels * 2 - 1).to(vae.device, vae.dtype)
    return vae.module.encode(scaled).float().cpu()


def cut_to_multiple(image: Tensor, side: int) -> Tensor:
    """`image` [B, H, W, C] with H and W brought down to multiples of `side`."""
    height, width = image.shape[1] // side * side, image.shape[2] // side * side
    top, left = image.shape[1] % side // 2, image.shape[2] % side // 2
    return image[:, top : top + height, left : left + width]
