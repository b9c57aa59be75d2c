"""ControlNets of Qwen-Image against ComfyUI 0.33.0: tests/contract/qwen_control.npz.

It holds what comfy.ldm.qwen_image.controlnet's networks, filled by `seeded`, say behind blocks: of
InstantX's two blocks, with and without a mask beside the hint, and of three of Fun's; and what the
transformer of Qwen-Image-Layered sees in three layers beside a reference.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from diffusion.batch.controls import Control
from diffusion.batch.prompts import Prompt, Region
from diffusion.batch.rows import Row
from diffusion.dit.call import DitCall
from diffusion.dit.conditions import DitEmbedding
from diffusion.dit.control import Heard, LoadedDitControl
from diffusion.families.family import ControlSource, LoadedModel
from diffusion.families.qwen_image.control import FunControl, FunNetwork
from diffusion.families.qwen_image.network import QwenImage, qwen_image
from diffusion.families.registry import FAMILIES
from diffusion.guidance.model_changes import model_sampling
from diffusion.latent.latents import cut_latent_to_batch
from graph.errors import BadModelFile
from graph.values import ControlNet, ControlUse, Latent, ModelFile, Vae
from tests.diffusion.dit_files import denoiser_of
from tests.diffusion.model_files import CPU, loaded, recorded, seeded, written
from tests.diffusion.narrow_stage import drawn
from tests.diffusion.test_qwen_image import SHAPE, stored

RECORDED = recorded("qwen_control")
NET = ControlNet(ModelFile("controlnet", "m.safetensors"))


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    names = ((name, tuple(own.shape)) for name, own in module.named_parameters())
    return {name: seeded(name, shape) for name, shape in names}


def instantx_tensors(channels: int) -> dict[str, Tensor]:
    with torch.device("meta"):
        module: Any = QwenImage(SHAPE)
        del module.norm_out, module.proj_out
        module.controlnet_x_embedder = nn.Linear(4 * channels, SHAPE.width)
        module.controlnet_blocks = nn.ModuleList(
            nn.Linear(SHAPE.width, SHAPE.width) for _ in range(SHAPE.layers)
        )
    return tensors_of(module)


def fun_tensors() -> dict[str, Tensor]:
    with torch.device("meta"):
        return tensors_of(FunNetwork(SHAPE, 132, 3))


def control(folder: Path, tensors: dict[str, Tensor]) -> LoadedDitControl:
    weights = written(folder, tensors, "control.safetensors")
    (kind,) = (kind for kind in FAMILIES.controls if kind.mine(weights))
    model = loaded(folder, stored()) if kind.made_of_model else None
    found = kind.load(ControlSource(weights, model, None, torch.float32, CPU))  # type: ignore[arg-type]
    assert isinstance(found, LoadedDitControl)
    return found


def heard(channels: int) -> Heard:
    return Heard(
        sample=drawn(1, 2, 16, 1, 5, 6),
        hint=drawn(11, 2, channels, 1, 5, 6),
        times=torch.full((2,), 0.7),
        context=drawn(2, 2, 9, SHAPE.context_dim),
        pooled=torch.zeros(2, 0),
    )


@pytest.mark.parametrize(("name", "channels"), [("instantx", 16), ("instantx_mask", 17)])
def test_instantx_says_what_comfyuis_does(tmp_path: Path, name: str, channels: int) -> None:
    own = control(tmp_path, instantx_tensors(channels))
    assert own.reads_masks == (channels == 17)
    said = own.spread(own.behind(heard(channels)), SHAPE).double
    assert len(said) == int(RECORDED[f"{name}_count"])
    for block in (0, 59):
        assert torch.allclose(said[block], RECORDED[f"{name}_{block}"], atol=2e-5)


def test_fun_says_what_comfyuis_does(tmp_path: Path) -> None:
    own = control(tmp_path, fun_tensors())
    said = own.spread(own.behind(heard(16)), SHAPE).double
    assert [block for block, tensor in enumerate(said) if tensor.any()] == [0, 12, 24]
    for block in (0, 12, 24):
        assert torch.allclose(said[block], RECORDED[f"fun_{block}"], atol=2e-5)
    assert own.strength(4.0) == 2.0


def test_layers_and_their_picture_are_seen_as_comfyui_sees_them(tmp_path: Path) -> None:
    model = loaded(tmp_path, stored(layered=True))
    call = DitCall(
        sample=drawn(1, 1, 16, 3, 5, 6),
        times=torch.tensor([0.7]),
        context=drawn(2, 1, 9, SHAPE.context_dim),
        pooled=torch.zeros(1, 0),
        references=(drawn(3, 1, 16, 1, 5, 6),),
        places=model.shape.reference_method,
    )
    with torch.no_grad():
        assert torch.allclose(qwen_image(model.module, call), RECORDED["layered"], atol=5e-5)


@pytest.mark.parametrize("name", ["t2", "x4", "y9", "t1"])
def test_layers_are_cut_apart_as_by_comfyui(name: str) -> None:
    dim: Any = name[0]
    cut = cut_latent_to_batch(Latent(drawn(5, 2, 3, 5, 4, 6)), dim, int(name[1:]))
    assert torch.equal(cut.samples, RECORDED[f"cut_{name}"])


def test_a_picture_under_control_differs_and_shares_its_call(tmp_path: Path) -> None:
    model: LoadedModel = loaded(tmp_path, stored())
    vae = Vae(ModelFile("vae", "vae.safetensors"))
    network: Any = control(tmp_path, instantx_tensors(17))

    def row(strength: float | None) -> Row:
        mask = torch.zeros(1, 40, 48)
        mask[:, :20] = 1
        use = ControlUse(NET, drawn(4, 1, 40, 48, 3).sigmoid(), strength or 0, vae=vae, mask=mask)
        own = Control(use, network, 1, CPU, 8, 1e9, 0.0, lambda _: drawn(5, 1, 16, 1, 5, 6))
        x = drawn(3, 1, 16, 1, 5, 6)
        embedding = DitEmbedding(drawn(2, 1, 5, SHAPE.context_dim), reference_places="index")
        region = Region(None, None, 1.0, 1.0, 1e9, 0.0)
        prompt = Prompt(region, embedding, x.shape, () if strength is None else (own,))
        return Row(x, torch.tensor(0.6), prompt, model_sampling(model.parameterization, ()))

    denoiser = denoiser_of(model)
    plain, none, whole = denoiser([row(None), row(0.0), row(1.0)])
    assert torch.allclose(plain, none, atol=1e-5)
    assert not torch.allclose(plain, whole, atol=1e-3)
    assert torch.allclose(denoiser([row(1.0)])[0], whole, atol=1e-5)


def test_a_control_of_another_width_is_refused(tmp_path: Path) -> None:
    tensors = fun_tensors() | {"control_img_in.weight": torch.zeros(32, 132)}
    with pytest.raises(BadModelFile, match="width 32, this model's is 64"):
        control(tmp_path, tensors)
    assert isinstance(control(tmp_path, fun_tensors()), FunControl)
