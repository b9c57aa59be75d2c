"""Autoencoders against ComfyUI 0.3.64.

tests/contract/vae_shapes.json.gz has the tensors' names and shapes of narrow autoencoders built by
comfy.ldm.models.autoencoder; vae_outputs.npz has what they answer, filled by `model_files.seeded`:
`encoded` is of sigmoid(50 seeded("image", [2, 37, 45, 3])) cropped by `VAE.vae_encode_crop_pixels`,
`decoded` of 10 seeded("latent", [2, C, 6, 5]), scaled and clamped as `VAE.decode` does.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion.autoencoder.kinds import load_vae
from diffusion.autoencoder.vae import (
    LatentVaeMismatchError,
    LoadedVae,
    cut_to_multiple,
    decode,
    encode,
)
from graph.errors import BadModelFile
from tests.diffusion.model_files import CPU, filled, recorded, recorded_shapes, seeded, written

SHAPES = recorded_shapes("vae_shapes")
OUTPUTS = recorded("vae_outputs")


def loaded(folder: Path, name: str, prefix: str = "first_stage_model.") -> LoadedVae:
    tensors = {prefix + key: value for key, value in filled(SHAPES[name]).items()}
    return load_vae(written(folder, tensors), dtype=torch.float32, device=CPU)


def tensors_of(vae: LoadedVae) -> dict[str, Tensor]:
    module: Any = vae.module
    return dict(module.state_dict())


@pytest.mark.parametrize("name", SHAPES)
def test_decoding_is_as_in_comfyui(name: str, tmp_path: Path) -> None:
    vae = loaded(tmp_path, name)
    image = decode(vae, seeded("latent", (2, vae.latent_channels, 6, 5)) * 10)
    torch.testing.assert_close(image, OUTPUTS[f"{name}.decoded"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", SHAPES)
def test_encoding_is_as_in_comfyui(name: str, tmp_path: Path) -> None:
    image = torch.sigmoid(seeded("image", (2, 37, 45, 3)) * 50)
    latent = encode(loaded(tmp_path, name), image)
    torch.testing.assert_close(latent, OUTPUTS[f"{name}.encoded"], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "channels"), [("vae4", 4), ("vae16", 16)])
def test_the_latent_channels_are_read_from_the_shapes(
    name: str, channels: int, tmp_path: Path
) -> None:
    vae = loaded(tmp_path, name, prefix="")
    assert (vae.latent_channels, vae.downscale) == (channels, 8)


def test_a_file_in_diffusers_layout_loads(tmp_path: Path) -> None:
    ldm = loaded(tmp_path, "vae4")
    same = load_vae(written(tmp_path, tensors_of(ldm)), dtype=torch.float32, device=CPU)
    latent = seeded("latent", (1, 4, 3, 3))
    assert torch.equal(decode(same, latent), decode(ldm, latent))


def test_a_file_from_before_diffusers_renamed_its_attention_loads(tmp_path: Path) -> None:
    old = {"to_q.": "query.", "to_k.": "key.", "to_v.": "value.", "to_out.0.": "proj_attn."}
    ldm = loaded(tmp_path, "vae4")
    tensors = {}
    for key, value in tensors_of(ldm).items():
        now = next((now for now in old if ".attentions." in key and now in key), None)
        tensors[key.replace(now, old[now]) if now else key] = value
    same = load_vae(written(tmp_path, tensors), dtype=torch.float32, device=CPU)
    latent = seeded("latent", (1, 4, 3, 3))
    assert torch.equal(decode(same, latent), decode(ldm, latent))


def test_a_fourth_channel_of_a_picture_is_not_encoded(tmp_path: Path) -> None:
    vae = loaded(tmp_path, "vae4")
    image = torch.sigmoid(seeded("image", (1, 16, 16, 4)))
    assert torch.equal(encode(vae, image), encode(vae, image[..., :3]))


def test_a_picture_is_cut_evenly_to_a_multiple() -> None:
    image = torch.arange(11 * 21).reshape(1, 11, 21, 1)
    cut = cut_to_multiple(image, 8)
    assert torch.equal(cut, image[:, 1:9, 2:18])


@pytest.mark.parametrize("shape", [(1, 16, 4, 4), (1, 4, 3, 4, 4)])
def test_a_latent_of_other_models_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(LatentVaeMismatchError, match=r"\[batch, 4, height, width\]") as raised:
        decode(loaded(tmp_path, "vae4"), torch.zeros(shape))
    assert raised.value.received == list(shape)
    assert raised.value.status == 422


class Halves:
    """An autoencoder of videos that keeps every second frame."""

    def encode(self, x: Tensor) -> Tensor:
        return x[:, :, ::2, ::2, ::2]

    def decode(self, latent: Tensor) -> Tensor:
        return latent.repeat_interleave(2, dim=2)[:, :, 1:]


def test_pictures_are_the_frames_of_a_video() -> None:
    vae = LoadedVae(Halves(), 3, 2, torch.float32, CPU, 0, frames=2)
    frames = torch.rand(5, 4, 6, 3)
    latent = encode(vae, frames)
    assert latent.shape == (1, 3, 3, 2, 3)
    both = decode(vae, torch.cat([latent, -latent]))
    assert both.shape == (10, 2, 3, 3)
    torch.testing.assert_close(both[0], frames[0, ::2, ::2])
    torch.testing.assert_close(both[5], 1 - frames[0, ::2, ::2])
    assert decode(vae, latent[:, :, 0]).shape == (1, 2, 3, 3)


def test_a_file_without_an_autoencoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModelFile, match="no autoencoder in it; found 1 tensors such as ab"):
        load_vae(written(tmp_path, {"ab": torch.zeros(1)}), dtype=torch.float32, device=CPU)


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    tensors = filled(SHAPES["vae4"])
    del tensors["decoder.conv_out.bias"]
    with pytest.raises(BadModelFile, match=r"'decoder\.conv_out\.bias'"):
        load_vae(written(tmp_path, tensors), dtype=torch.float32, device=CPU)
