"""Wan's autoencoders of videos, narrow ones of random weights, against diffusers' own."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion.autoencoder.kinds import load_vae
from diffusion.autoencoder.vae import LoadedVae, decode, encode
from diffusion.autoencoder.wan_network import WanAutoencoder, WanVaeShape
from graph.errors import BadModelFile
from tests.diffusion.model_files import CPU, seeded, written

WAN21 = WanVaeShape(
    latent_channels=4,
    encoder=(4, 8, 8, 16),
    decoder=(4, 8, 8, 16),
    layers=1,
    halves_time=(False, True, True),
    nested=False,
)
WAN22 = WanVaeShape(
    latent_channels=6,
    encoder=(8, 16, 16),
    decoder=(12, 24, 24),
    layers=1,
    halves_time=(True, True),
    nested=True,
    patch=2,
)
SHAPES = {"2.1": WAN21, "2.2": WAN22}
AROUND = {
    "encoder.conv1": "encoder.conv_in",
    "decoder.conv1": "decoder.conv_in",
    "conv1": "quant_conv",
    "conv2": "post_quant_conv",
    "head.0": "norm_out",
    "head.2": "conv_out",
    "middle.0": "mid_block.resnets.0",
    "middle.1": "mid_block.attentions.0",
    "middle.2": "mid_block.resnets.1",
    "residual.0": "norm1",
    "residual.2": "conv1",
    "residual.3": "norm2",
    "residual.6": "conv2",
    "shortcut": "conv_shortcut",
}


def tensors_of(shape: WanVaeShape) -> dict[str, Tensor]:
    with torch.device("meta"):
        module = WanAutoencoder(shape)
    drawn = {name: seeded(name, tuple(p.shape)) for name, p in module.named_parameters()}
    return {name: t + 1 if name.endswith("gamma") else t for name, t in drawn.items()}


def loaded(folder: Path, tensors: dict[str, Tensor]) -> LoadedVae:
    return load_vae(written(folder, tensors), dtype=torch.float32, device=CPU)


def diffusers_name(name: str, shape: WanVaeShape) -> str:
    """What diffusers calls a parameter of the published file."""
    levels = name.split(".")
    if levels[1] in ("downsamples", "upsamples"):
        up = levels[1] == "upsamples"
        count = shape.layers + up
        if shape.nested:
            level, place, rest = int(levels[2]), int(levels[4]), levels[5:]
        else:
            level, place = divmod(int(levels[2]), count + 1)
            rest = levels[3:]
        blocks = f"{levels[0]}.{'up' if up else 'down'}_blocks."
        if shape.nested:
            resample = "upsampler" if up else "downsampler"
            own = f"{level}.{resample if place == count else f'resnets.{place}'}"
        elif up:
            own = f"{level}.{'upsamplers.0' if place == count else f'resnets.{place}'}"
        else:
            own = levels[2]
        name = f"{blocks}{own}.{'.'.join(rest)}"
    for theirs, ours in AROUND.items():
        start = "^" if theirs in ("conv1", "conv2") else r"(?<!\w)"
        name = re.sub(rf"{start}{re.escape(theirs)}\.", f"{ours}.", name)
    return name


def diffusers_module(shape: WanVaeShape) -> Any:
    from diffusers import AutoencoderKLWan  # noqa: PLC0415

    kind: Any = AutoencoderKLWan
    channels = 3 * shape.patch**2
    module = kind(
        base_dim=shape.encoder[0],
        decoder_base_dim=shape.decoder[0],
        z_dim=shape.latent_channels,
        dim_mult=[width // shape.encoder[0] for width in shape.encoder],
        num_res_blocks=shape.layers,
        temperal_downsample=list(shape.halves_time),
        is_residual=shape.nested,
        in_channels=channels,
        out_channels=channels,
        patch_size=shape.patch if shape.patch > 1 else None,
    )
    module.load_state_dict({diffusers_name(k, shape): t for k, t in tensors_of(shape).items()})
    return module.eval()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@torch.inference_mode()
def test_videos_are_as_diffusers_has_them(shape: WanVaeShape, tmp_path: Path) -> None:
    vae, own = loaded(tmp_path, tensors_of(shape)), diffusers_module(shape)
    assert (vae.latent_channels, vae.downscale) == (shape.latent_channels, shape.downscale)
    assert vae.frames == 4
    side = 2 * shape.downscale
    frames = torch.sigmoid(seeded("frames", (9, side, side, 3)) * 50)
    latent = encode(vae, frames)
    assert latent.shape == (1, shape.latent_channels, 3, 2, 2)
    expected = own.encode((frames * 2 - 1).movedim(-1, 0)[None]).latent_dist.mode()
    torch.testing.assert_close(latent, expected, rtol=0, atol=1e-5)
    video = decode(vae, latent)
    assert video.shape == frames.shape
    shown = ((own.decode(latent).sample + 1) / 2).clamp(0, 1)[0].movedim(0, -1)
    torch.testing.assert_close(video, shown, rtol=0, atol=1e-5)
    assert torch.equal(encode(vae, frames[:8]), encode(vae, frames[:5]))  # whole groups of four


@pytest.mark.parametrize("prefix", ["", "vae.", "first_stage_model."])
def test_a_missing_tensor_is_named(tmp_path: Path, prefix: str) -> None:
    for name in ("encoder.middle.1.to_qkv.bias", "decoder.upsamples.0.residual.6.weight"):
        tensors = {prefix + key: tensor for key, tensor in tensors_of(WAN21).items()}
        del tensors[prefix + name]
        with pytest.raises(BadModelFile, match=re.escape(name)):
            loaded(tmp_path, tensors)


def test_a_tensor_of_another_shape_is_named(tmp_path: Path) -> None:
    tensors = tensors_of(WAN22) | {"decoder.head.2.bias": torch.zeros(3)}
    with pytest.raises(BadModelFile, match=r"'decoder\.head\.2\.bias' is \(3,\), not \(12,\)"):
        loaded(tmp_path, tensors)


def test_halves_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    tensors = {k: t for k, t in tensors_of(WAN21).items() if "upsamples.2.time_conv" not in k}
    with pytest.raises(BadModelFile, match="decoder doubles it at"):
        loaded(tmp_path, tensors)


def test_a_layer_of_nothing_is_refused(tmp_path: Path) -> None:
    tensors = tensors_of(WAN21)
    tensors["encoder.conv1.weight"] = tensors["encoder.conv1.weight"][:, :0]
    with pytest.raises(BadModelFile, match="incomplete"):
        loaded(tmp_path, tensors)
