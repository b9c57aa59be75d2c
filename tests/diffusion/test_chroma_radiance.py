"""Chroma Radiance against ComfyUI 0.33.0: tests/contract/chroma_radiance.npz.

It holds what comfy.ldm.chroma_radiance.model.ChromaRadiance, filled by `seeded`, answers: with a
last layer that is a convolution or not, to a picture of odd size, as a velocity or as a picture,
and with words in a row.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from diffusion.autoencoder.kinds import load_vae
from diffusion.autoencoder.pixel_space import or_pixel_space
from diffusion.autoencoder.vae import decode, encode
from diffusion.dit.call import DitCall
from diffusion.dit.pieces import Piece
from diffusion.families.chroma_radiance.loading import empty_module, pieces
from diffusion.families.chroma_radiance.network import OPTIONS, radiance
from diffusion.families.chroma_radiance.shapes import RadianceShape
from diffusion.families.registry import FAMILIES
from graph.errors import MissingModelFile
from graph.nodes.loaders import load_vae as load_vae_node
from graph.values import Change
from tests.diffusion.model_files import CPU, recorded, seeded, written
from tests.diffusion.narrow_stage import drawn
from tests.diffusion.test_chroma import SHAPE as CHROMA

RECORDED = recorded("chroma_radiance")
SHAPE = RadianceShape(
    **{**vars(CHROMA), "in_channels": 3, "time_inputs": 64},
    patch=4,
    inner=8,
    ratio=2,
    depth=2,
    waves=3,
    convolved=True,
    gives_picture=False,
    numbers_words=False,
)
KINDS = {
    "convolved": SHAPE,
    "linear": replace(SHAPE, convolved=False, gives_picture=True),
    "numbered": replace(SHAPE, numbers_words=True),
}


def tensors_of(shape: RadianceShape) -> dict[str, Tensor]:
    """In the layout of the models' own files, filled by their names there."""
    with torch.device("meta"):
        parameters = {n: tuple(p.shape) for n, p in empty_module(shape).named_parameters()}
    parts: dict[str, list[tuple[Piece, tuple[int, ...]]]] = {}
    for piece in pieces(shape):
        for leaf in ("weight", "bias"):
            size = parameters.get(f"{piece.module}.{leaf}")
            if size is not None:
                norm = "_norm" in piece.source.rpartition(".")[2]
                stored = f"{piece.source}.{'scale' if norm else leaf}"
                parts.setdefault(stored, []).append((piece, size))
    sizes = {k: (sum(s[0] for _, s in own), *own[0][1][1:]) for k, own in parts.items()}
    marks = {"__x0__": shape.gives_picture, "__sequential__": shape.numbers_words}
    found = {name: seeded(name, size) for name, size in sizes.items()}
    return found | {name: torch.zeros(0) for name, there in marks.items() if there}


CALL = DitCall(
    sample=drawn(1, 2, 3, 8, 12),
    times=torch.full((2,), 0.7),
    context=drawn(2, 2, 5, SHAPE.context_dim),
    pooled=torch.zeros(2, 0),
    guidance=torch.zeros(2),
)


@pytest.mark.parametrize("name", KINDS)
def test_it_answers_as_comfyui_does(tmp_path: Path, name: str) -> None:
    weights = written(tmp_path, tensors_of(KINDS[name]))
    model = FAMILIES.load(weights, dtype=torch.float32, device=CPU)
    assert (model.family.name, model.shape) == ("chroma_radiance", KINDS[name])
    with torch.no_grad():
        assert torch.allclose(radiance(model.module, CALL), RECORDED[name], atol=5e-5)
        if name == "convolved":
            odd = radiance(model.module, replace(CALL, sample=CALL.sample[..., :7, :9]))
            assert torch.allclose(odd, RECORDED["odd"], atol=5e-5)
            ranged = (("start_sigma", 1.0), ("end_sigma", 0.0))
            moved = replace(CALL, changes=(Change(OPTIONS, ranged),))
            assert torch.allclose(radiance(model.module, moved), RECORDED["moved"], atol=5e-5)


def test_pixels_need_no_autoencoder() -> None:
    def nothing(file: object) -> None:
        raise MissingModelFile("vae", str(file))

    vae = load_vae_node(vae_name="pixel_space")  # type: ignore[arg-type]
    weights = or_pixel_space(nothing)(vae.file)  # type: ignore[arg-type]
    loaded = load_vae(weights, dtype=torch.float32, device=CPU)
    picture = drawn(3, 2, 5, 7, 3).sigmoid()
    latent = encode(loaded, picture)
    assert latent.shape == (2, 3, 5, 7)
    assert torch.allclose(decode(loaded, latent), picture, atol=1e-6)
