"""The tiny autoencoder against ComfyUI 0.3.64.

tests/contract/taesd.npz has what comfy.taesd.taesd.TAESD answers, filled by `model_files.seeded`
under its own tensors' names and in the scale of `taesdxl`: `encoded` is of
sigmoid(50 seeded("image", [1, 32, 24, 3])), `decoded` of 50 seeded("latent", [1, 4, 4, 5]).
"""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from deployments.site import Site
from diffusion.autoencoder.kinds import load_vae
from diffusion.autoencoder.taesd import DECODER, ENCODER, LatentScale, TinyAutoencoder
from diffusion.autoencoder.vae import LoadedVae, decode, encode
from diffusion.weights import Weights
from graph.errors import BadModelFile, MissingModelFile
from storage.models.files import ModelFolders
from tests.diffusion.model_files import CPU, filled, recorded, seeded

OUTPUTS = recorded("taesd")


def halves() -> dict[str, dict[str, Tensor]]:
    with torch.device("meta"):
        module = TinyAutoencoder(4, LatentScale())
    tensors = filled({name: tuple(p.shape) for name, p in module.named_parameters()})
    return {
        prefix: {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
        for prefix in (ENCODER, DECODER)
    }


def written(folder: Path, *, without: str = "") -> Path:
    (folder / "vae_approx").mkdir()
    for prefix, tensors in halves().items():
        kept = {name: tensor for name, tensor in tensors.items() if prefix + name != without}
        file = prefix.replace("taesd", "taesdxl") + "safetensors"
        save_file(kept, folder / "vae_approx" / file)
    return folder


def opened(folder: Path) -> Weights:
    return Site(folder, folder / "private").opener()(ModelFolders(folder).find("vae", "taesdxl"))


def loaded(folder: Path) -> LoadedVae:
    return load_vae(opened(folder), dtype=torch.float32, device=CPU)


def test_decoding_is_as_in_comfyui(tmp_path: Path) -> None:
    image = decode(loaded(written(tmp_path)), seeded("latent", (1, 4, 4, 5)) * 50)
    torch.testing.assert_close(image, OUTPUTS["decoded"], rtol=0, atol=1e-5)


def test_encoding_is_as_in_comfyui(tmp_path: Path) -> None:
    image = torch.sigmoid(seeded("image", (1, 32, 24, 3)) * 50)
    latent = encode(loaded(written(tmp_path)), image)
    torch.testing.assert_close(latent, OUTPUTS["encoded"], rtol=0, atol=1e-4)


def test_a_damaged_half_is_told(tmp_path: Path) -> None:
    folder = written(tmp_path, without="taesd_decoder.3.conv.0.weight")
    with pytest.raises(BadModelFile, match=r"vae/taesdxl.*taesd_decoder\.3\.conv\.0\.weight"):
        loaded(folder)


def test_it_is_offered_where_both_halves_are(tmp_path: Path) -> None:
    folders = ModelFolders(written(tmp_path))
    assert folders.list("vae") == ("taesdxl",)
    with pytest.raises(MissingModelFile, match="vae/taesd "):
        folders.find("vae", "taesd")


def test_a_pair_is_another_one_when_a_half_changes(tmp_path: Path) -> None:
    folders = ModelFolders(written(tmp_path))
    before = folders.find("vae", "taesdxl")
    save_file({"a": torch.ones(1)}, tmp_path / "vae_approx" / "taesdxl_encoder.safetensors")
    assert folders.find("vae", "taesdxl") != before
