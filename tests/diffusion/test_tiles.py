"""Autoencoders in tiles, against ComfyUI's numbers (see recorded_nodes.py).

The stand-in for an autoencoder gives every pixel of a tile something of the whole tile, so that
each tile's place, shape and weight shows. ComfyUI was run over the same stand-in.
"""

from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from diffusion.autoencoder.tiles import TileOverlapError, decode_tiled, encode_tiled
from diffusion.autoencoder.vae import LoadedVae
from tests.recorded_nodes import recorded


class Coarse:
    """Decodes to flat squares and encodes to means, both shifted by what is in the whole input."""

    def decode(self, x: Tensor) -> Tensor:
        shifted = x[:, :3] - x.mean() * 0.5 + x[:, 3:4].amax()
        return functional.interpolate(shifted, scale_factor=8, mode="nearest") * 0.1

    def encode(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(torch.cat([x, x[:, :1]], 1) - x.mean() * 0.5, 8)


COARSE = LoadedVae(cast(Any, Coarse()), 4, 8, torch.float32, torch.device("cpu"), 0)


@pytest.mark.parametrize(("tile", "overlap", "name"), [(64, 32, "64_32"), (128, 32, "128_32")])
def test_decoded_tiles_fade_into_each_other(
    tile: int,
    overlap: int,
    name: str,
) -> None:
    pictures = decode_tiled(COARSE, recorded("latent"), tile=tile, overlap=overlap)
    torch.testing.assert_close(pictures[:, ::5, ::5], recorded(f"decode_{name}"))


@pytest.mark.parametrize(("tile", "overlap", "name"), [(128, 32, "128_32"), (64, 0, "64_0")])
def test_encoded_tiles_fade_into_each_other(
    tile: int,
    overlap: int,
    name: str,
) -> None:
    latents = encode_tiled(COARSE, recorded("image"), tile=tile, overlap=overlap)
    torch.testing.assert_close(latents, recorded(f"encode_{name}"))


def test_a_picture_smaller_than_a_tile_is_decoded_in_one_piece() -> None:
    latent = recorded("latent")[:1, :, :8, :8]
    whole = (Coarse().decode(latent).movedim(1, -1) + 1) / 2
    torch.testing.assert_close(
        decode_tiled(COARSE, latent, tile=512, overlap=64), whole.clamp(0, 1)
    )


def test_tiles_that_never_reach_the_end_are_refused() -> None:
    with pytest.raises(TileOverlapError, match="64"):
        encode_tiled(COARSE, torch.zeros(1, 128, 128, 3), tile=64, overlap=64)
