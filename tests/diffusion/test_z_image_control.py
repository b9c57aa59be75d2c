"""Fun's controls of Z-Image against ComfyUI 0.33.0: tests/contract/z_image_control.npz.

It holds what comfy.ldm.lumina.model.NextDiT of eight layers sees under ZImageControlPatch, both
filled by `seeded`: under six layers, and under fifteen that speak to the refiners too, whose own
blocks for that may be of zeros, and that go by a picture to be filled in as well.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from diffusion.dit.call import DitCall
from diffusion.dit.next_dit import NextDit, next_dit
from diffusion.dit.next_dit_shape import pieces
from diffusion.dit.patches import Behind, PatchPictures
from diffusion.families.registry import FAMILIES
from diffusion.families.z_image.control import FunControl, Network
from graph.errors import BadModelFile
from graph.values import ModelFile, ModelPatch, PatchUse, Vae
from tests.diffusion.model_files import CPU, loaded, recorded, seeded
from tests.diffusion.narrow_stage import drawn
from tests.diffusion.test_text_encoder import in_memory
from tests.diffusion.test_z_image import SHAPE

RECORDED = recorded("z_image_control")
DEEP = replace(SHAPE, layers=8)
PATCH = ModelPatch(ModelFile("model_patches", "control.safetensors"))
VAE = Vae(ModelFile("vae", "ae.safetensors"))
PICTURES = {
    name: drawn(seed, 1, 48, 64, 3).sigmoid() for seed, name in ((21, "image"), (22, "inpaint"))
}
MASK = (drawn(23, 1, 48, 64) > 0).float()


def model_tensors() -> dict[str, Tensor]:
    """In the layout of the models' own files, filled by their names there."""
    with torch.device("meta"):
        parameters = dict(NextDit(DEEP).named_parameters())
    sizes: dict[str, list[int]] = {}
    for piece in pieces(DEEP):
        for leaf in ("weight", "bias"):
            if f"{piece.module}.{leaf}" in parameters:
                rows, *rest = parameters.pop(f"{piece.module}.{leaf}").shape
                before = sizes.get(f"{piece.source}.{leaf}", [0])[0]
                sizes[f"{piece.source}.{leaf}"] = [before + rows, *rest]
    sizes |= {name: list(own.shape) for name, own in parameters.items()}
    return {name: seeded(name, tuple(size)) for name, size in sizes.items()}


def control_tensors(layers: int, channels: int, *, refines: bool) -> dict[str, Tensor]:
    shape = replace(SHAPE, layers=layers, in_channels=channels, mlp=256)
    with torch.device("meta"):
        names = {n: tuple(p.shape) for n, p in Network(shape, refines=refines).named_parameters()}
    return {name: seeded(name, size) for name, size in names.items()}


def control(tensors: dict[str, Tensor]) -> FunControl:
    weights = in_memory(tensors)
    (kind,) = (kind for kind in FAMILIES.patches if kind.mine(weights))
    found: Any = kind.load(weights, torch.float32, CPU)
    assert isinstance(found, FunControl)
    return found


def encoded(picture: Tensor) -> Tensor:
    small = functional.avg_pool2d(picture.movedim(-1, 1), 8)
    return small.repeat(1, 6, 1, 1)[:, :16]


@pytest.mark.parametrize("name", ["six", "fifteen", "hollow"])
def test_a_model_under_a_control_sees_what_comfyuis_does(tmp_path: Path, name: str) -> None:
    tensors = control_tensors(*((6, 16) if name == "six" else (15, 33)), refines=name != "six")
    if name == "hollow":
        for leaf in ("weight", "bias"):
            key = f"control_noise_refiner.0.after_proj.{leaf}"
            tensors[key] = torch.zeros_like(tensors[key])
    own = control(tensors)
    assert (own.refines, own.hollow, own.inpaints) == (
        name != "six",
        name == "hollow",
        name != "six",
    )
    inpaint = PICTURES["inpaint"] if own.inpaints else None
    use = PatchUse(PATCH, VAE, PICTURES["image"], 0.8, MASK if own.inpaints else None, inpaint)
    guide = own.guide(PatchPictures(use, encoded, 64, 48, CPU))
    model = loaded(tmp_path, model_tensors())
    call = DitCall(
        sample=drawn(1, 1, 16, 6, 8),
        times=torch.tensor([0.7]),
        context=drawn(2, 1, 37, SHAPE.context_dim),
        pooled=torch.zeros(1, 0),
    )
    with torch.no_grad():
        plain = next_dit(model.module, call)
        seen = next_dit(model.module, replace(call, behind=(Behind(own, guide, 0.8),)))
    assert torch.allclose(plain, RECORDED["plain"], atol=5e-5)
    assert torch.allclose(seen, RECORDED[name], atol=5e-5)
    assert not torch.allclose(seen, plain, atol=1e-2)


def test_it_is_for_z_image_alone() -> None:
    own = control(control_tensors(6, 16, refines=False))
    assert own.misfit(DEEP) is None
    assert own.misfit(replace(DEEP, activated=True)) is not None
    assert "width 48" in str(own.misfit(replace(DEEP, width=64)))


def test_a_control_has_no_more_layers_than_the_model() -> None:
    layers = {name: t for name, t in control_tensors(6, 16, refines=False).items() if ".0." in name}
    many = {name.replace(".0.", f".{k}.", 1): t for name, t in layers.items() for k in range(31)}
    rest = control_tensors(6, 16, refines=False)
    with pytest.raises(BadModelFile, match="31 control layers, the model 30 layers"):
        control(rest | many)


def test_a_head_of_nothing_is_refused() -> None:
    tensors = control_tensors(6, 16, refines=False)
    tensors["control_layers.0.attention.norm_q.weight"] = torch.ones(0)
    with pytest.raises(BadModelFile, match="incomplete"):
        control(tensors)
