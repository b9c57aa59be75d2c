"""Autoencoders of LTX-Video, from files whose metadata may say how they are built."""

from collections.abc import Mapping
from typing import Any

import torch

from diffusion.autoencoder.kl import PREFIXES
from diffusion.autoencoder.ltx_network import (
    RES,
    RES_WIDER,
    LtxAutoencoder,
    LtxBlock,
    LtxVaeShape,
    Padding,
)
from diffusion.autoencoder.vae import LoadedVae, VaeKind
from diffusion.networks.filling import copied, fill, size_of
from diffusion.weights import Weights, metadata_config

MARK = "decoder.up_blocks.0.res_blocks.0.conv1.conv.weight"
MEAN, STD = (f"per_channel_statistics.{name}" for name in ("mean-of-means", "std-of-means"))
TIME, NOISE = 0.05, 0.025  # of what a decoder that is told a time decodes
MOST_BLOCKS, MOST_LAYERS, MOST_TIMES = 32, 32, 8
PADDINGS: Mapping[str, Padding] = {
    "zeros": "zeros", "reflect": "reflect", "replicate": "replicate", "circular": "circular"
}  # fmt: skip
STRIDES = {"time": (2, 1, 1), "space": (1, 2, 2), "all": (2, 2, 2)}
# Of files that say nothing. (ComfyUI VideoVAE.guess_config)
FIRST: Mapping[str, Any] = {
    "blocks": [
        ["res_x", 4], ["compress_all", 1], ["res_x_y", 1], ["res_x", 3], ["compress_all", 1],
        ["res_x_y", 1], ["res_x", 3], ["compress_all", 1], ["res_x", 3], ["res_x", 4],
    ],
}  # fmt: skip
WIDER = {"residual": True, "multiplier": 2}
LATER: Mapping[str, Any] = {
    "encoder_blocks": [
        ["res_x", 4], ["compress_space_res", {}], ["res_x", 6], ["compress_time_res", {}],
        ["res_x", 6], ["compress_all_res", {}], ["res_x", 2], ["compress_all_res", {}],
        ["res_x", 2],
    ],
    "decoder_blocks": [
        ["res_x", 5], ["compress_all", WIDER], ["res_x", 5], ["compress_all", WIDER],
        ["res_x", 5], ["compress_all", WIDER], ["res_x", 5],
    ],
    "timestep_conditioning": True,
}  # fmt: skip
UNSAID: Mapping[str, Any] = {
    "patch_size": 4,
    "latent_log_var": "uniform",
    "norm_layer": "pixel_norm",
    "spatial_padding_mode": "zeros",
}


def _find(weights: Weights) -> Weights | None:
    parts = (weights.under(prefix) for prefix in PREFIXES)
    return next((part for part in parts if MARK in part), None)


def _load(part: Weights, dtype: torch.dtype, device: torch.device) -> LoadedVae:
    try:
        shape = read_shape(part)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        problem = f"its autoencoder is incomplete, or said to be built as none is: {error}"
        raise part.bad(problem=problem) from error
    with torch.device("meta"):
        module = LtxAutoencoder(shape, TIME)
    names = {name for name, _ in module.named_parameters()}
    fill(module, part, {key: copied(part[key], dtype, device) for key in part if key in names})
    for name, key in (("mean", MEAN), ("std", STD)):
        if key not in part or part.shape(key) != (shape.latent_channels,):
            raise part.bad(problem=f"its autoencoder has no {key!r} of {shape.latent_channels}")
        module.register_buffer(name, copied(part[key], dtype, device))
    return LoadedVae(
        module,
        shape.latent_channels,
        shape.downscale,
        dtype,
        device,
        size_of(module),
        frames=shape.frames,
        noise=NOISE if shape.timed else 0.0,
    )


def read_shape(part: Weights) -> LtxVaeShape:
    """The shape of the autoencoder in `part`, whose names have no prefix.

    Raises:
        KeyError, IndexError, TypeError, ValueError: there is no such shape.
    """
    config = metadata_config(part, "vae") or {**UNSAID, **_guessed(part)}
    if config.get("norm_layer", "group_norm") != "pixel_norm" or config.get("dims", 3) != 3:
        problem = f"it has {config.get('norm_layer')!r} over {config.get('dims')} axes"
        raise ValueError(problem)
    both, padding = config.get("blocks", []), config.get("spatial_padding_mode")
    if padding is not None and padding not in PADDINGS:
        problem = f"it pads pictures by {padding!r}"
        raise ValueError(problem)
    encoder = _blocks(config.get("encoder_blocks", both), up=False)
    decoder = _blocks(config.get("decoder_blocks", both), up=True)
    channels = part.shape("decoder.conv_in.conv.weight")[1]
    return LtxVaeShape(
        encoder=encoder,
        decoder=decoder,
        encoder_width=part.shape("encoder.conv_in.conv.weight")[0],
        decoder_width=part.shape("decoder.conv_out.conv.weight")[1],
        latent_channels=channels,
        moments=part.shape("encoder.conv_out.conv.weight")[0],
        patch=_number(config.get("patch_size", 1), "patch_size", MOST_TIMES),
        causal_decoder=config.get("causal_decoder") is True,
        timed=config.get("timestep_conditioning") is True,
        padding=(PADDINGS[padding or "zeros"], PADDINGS[padding or "reflect"]),
    )


def _guessed(part: Weights) -> Mapping[str, Any]:
    if part.shape(MARK)[0] == 512:
        return FIRST
    if "encoder.down_blocks.1.conv.conv.bias" in part:
        return LATER
    problem = "its decoder adds noise between layers, as that of LTX-Video 0.9.1 does"
    raise ValueError(problem)


def _blocks(config: Any, *, up: bool) -> tuple[LtxBlock, ...]:
    """Blocks as a file lists them: a name, with a number of layers or more than that."""
    if not isinstance(config, list) or not 0 < len(config) <= MOST_BLOCKS:
        problem = f"it lists {len(config) if isinstance(config, list) else 'no'} blocks"
        raise ValueError(problem)
    return tuple(_block(name, said, up=up) for name, said in config)


def _block(name: str, said: Any, *, up: bool) -> LtxBlock:
    options = said if isinstance(said, dict) else {"num_layers": said}
    if options.get("inject_noise"):
        problem = f"its block {name!r} adds noise, as that of LTX-Video 0.9.1 does"
        raise ValueError(problem)
    if name == RES:
        return LtxBlock(RES, _number(options["num_layers"], "num_layers", MOST_LAYERS))
    if name == RES_WIDER:
        return LtxBlock(RES_WIDER, multiplier=_times(options, 2))
    kind, _, how = name.removeprefix("compress_").partition("_")
    if not name.startswith("compress_") or kind not in STRIDES:
        problem = f"it has a block {name!r}"
        raise ValueError(problem)
    stride = STRIDES[kind]
    if up and not how:
        whole = kind == "all"
        residual = whole and options.get("residual") is True
        return LtxBlock(name, 1, _times(options, 1) if whole else 1, stride, residual)
    if not up and how in ("", "res", "x_y"):
        return LtxBlock(name, 1, _times(options, 2) if how else 1, stride, how == "res")
    problem = f"it has a block {name!r}"
    raise ValueError(problem)


def _times(options: Mapping[str, Any], default: int) -> int:
    return _number(options.get("multiplier", default), "multiplier", MOST_TIMES)


def _number(value: Any, name: str, most: int) -> int:
    if not isinstance(value, int) or not 0 < value <= most:
        problem = f"{name} must be 1 to {most}, got {value!r}"
        raise ValueError(problem)
    return value


LTX = VaeKind(_find, _load)
