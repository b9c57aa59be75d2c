"""Videos decoded and encoded in tiles, against ComfyUI 0.3.64's VAEDecodeTiled and VAEEncodeTiled.

`video_tiles.npz` was recorded with an autoencoder whose answer depends on where a tile ends.
"""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from diffusion.autoencoder.tiles import TileOverlapError, decode_tiled, encode_tiled
from diffusion.autoencoder.vae import LatentVaeMismatchError, LoadedVae, decode
from tests.diffusion.model_files import CPU, recorded
from tests.diffusion.wan_files import plain

ANSWERS = recorded("video_tiles")
TILES = {  # tile, overlap, frames, overlap of frames
    "plain": (64, 32, 8, 4),
    "wide": (64, 16, 12, 8),
    "still": (64, 16, 64, 8),
    "whole": (512, 64, 64, 8),
}


class Blurring:
    """Repeats and averages; what it answers has a share of the mean of all that it is given."""

    def encode(self, x: Tensor) -> Tensor:
        longer = torch.cat([x[:, :, :1].expand(-1, -1, 3, -1, -1), x], dim=2)
        means = functional.avg_pool3d(longer[:, :, : longer.shape[2] // 4 * 4], (4, 8, 8))
        return torch.cat([means + means.mean() * 0.3] * 6, dim=1)[:, :16]

    def decode(self, latent: Tensor) -> Tensor:
        x = latent[:, :3].repeat_interleave(4, 2)[:, :, 3:]
        x = x.repeat_interleave(8, 3).repeat_interleave(8, 4)
        return torch.tanh(x + x.mean() * 0.3)


VAE = LoadedVae(Blurring(), 16, 8, torch.float32, CPU, 0, frames=4)


@pytest.mark.parametrize("name", TILES)
def test_videos_are_decoded_as_in_comfyui(name: str) -> None:
    tile, overlap, frames, frame_overlap = TILES[name]
    latent = plain("z", (2, 16, 6, 10, 14))
    video = decode_tiled(
        VAE, latent, tile=tile, overlap=overlap, frames=frames, frame_overlap=frame_overlap
    )
    assert video.shape == (42, 80, 112, 3)
    torch.testing.assert_close(video[::3, ::5, ::7], ANSWERS[f"decoded.{name}"], rtol=0, atol=1e-5)
    assert torch.equal(video, decode(VAE, latent)) is (name == "whole")


@pytest.mark.parametrize("name", TILES)
def test_videos_are_encoded_as_in_comfyui(name: str) -> None:
    tile, overlap, frames, frame_overlap = TILES[name]
    image = torch.sigmoid(plain("img", (22, 84, 100, 3)))
    latent = encode_tiled(
        VAE, image, tile=tile, overlap=min(overlap, 16), frames=frames, frame_overlap=frame_overlap
    )
    torch.testing.assert_close(latent[:, ::5], ANSWERS[f"encoded.{name}"], rtol=0, atol=1e-5)


def test_tiles_that_cannot_be_are_refused() -> None:
    with pytest.raises(TileOverlapError):
        encode_tiled(VAE, torch.zeros(5, 64, 64, 3), tile=64, overlap=32)
    with pytest.raises(LatentVaeMismatchError):
        decode_tiled(VAE, torch.zeros(1, 4, 2, 8, 8), tile=64, overlap=16)
