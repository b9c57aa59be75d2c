"""Families, and what is applied to models, on a device that is not the CPU (stand_in_device.py)."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from diffusion.autoencoder.kinds import load_vae
from diffusion.autoencoder.vae import decode, encode
from diffusion.engine.stage import SampleStage
from diffusion.engine.warming import WarmSize, blank_request
from diffusion.families.registry import FAMILIES
from diffusion.lora.applying import Loras
from diffusion.lora.merging import WEIGHT_CHANGES, WeightChanges
from diffusion.memory.budget import MemoryBudget
from diffusion.weights import Weights, open_weights
from graph.sampling import SampleRequest
from graph.values import ControlNet, ControlUse, Model, ModelFile
from tests.diffusion import (
    test_chroma,
    test_flux2,
    test_ltxv,
    test_lumina2,
    test_qwen_image,
    test_z_image,
)
from tests.diffusion.control_files import CONTROL, write_controls
from tests.diffusion.dit_files import DEV, SD3, drawn_module, reference_layout
from tests.diffusion.lora_files import unet_lora, write_lora
from tests.diffusion.model_files import CPU, filled, recorded_shapes, written
from tests.diffusion.narrow_stage import drawn, request, write_models
from tests.diffusion.stand_in_device import OnGpu, WrongDeviceError, stand_in
from tests.diffusion.wan_files import T2V, tensors_of

FILE = ModelFile("diffusion_models", "m.safetensors")
SIDE_PX = 64
NETWORKS: Mapping[str, Callable[[], Mapping[str, Tensor]]] = {
    "sd3": lambda: reference_layout(drawn_module(SD3), SD3),
    "flux": lambda: reference_layout(drawn_module(DEV), DEV),
    "flux2": test_flux2.own_layout,
    "chroma": test_chroma.own_layout,
    "lumina2": test_lumina2.stored,
    "ltxv": test_ltxv.own_layout,
    "qwen_image": test_qwen_image.stored,
    "z_image": test_z_image.stored,
    "wan": lambda: tensors_of(T2V),
}


def stage_over(folder: Path, device: torch.device) -> SampleStage:
    def opened(file: ModelFile) -> Weights:
        return open_weights(folder / file.name, file)

    loras = Loras(opened, budget_bytes=2**20)
    return SampleStage(
        opened,
        device=device,
        dtype=torch.float32,
        memory=MemoryBudget(2**30),
        weight_changes=WEIGHT_CHANGES,
        apply_changes=WeightChanges(opened, loras).on_model,
    )


def sampled(folder: Path, device: torch.device, asked: SampleRequest) -> Tensor:
    """What a stage on a device makes of a request."""

    async def sample() -> Tensor:
        stage = stage_over(folder, device)
        latent, _ = await stage.sample(asked)
        await stage.close()
        samples: Tensor = latent.samples
        return samples

    return asyncio.run(sample())


@pytest.mark.parametrize("family", NETWORKS)
def test_a_family_computes_where_it_is_told_to(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(dict(NETWORKS[family]()), tmp_path / FILE.name)
    weights = open_weights(tmp_path / FILE.name, FILE)
    loaded = FAMILIES.load(weights, dtype=torch.float32, device=CPU)
    assert loaded.family.name == family
    size = WarmSize(SIDE_PX, SIDE_PX)
    asked = blank_request(Model(FILE), loaded, size, rows=2)
    expected = sampled(tmp_path, CPU, asked)
    with stand_in(monkeypatch) as device:
        found = sampled(tmp_path, device, asked)
    assert not isinstance(found, OnGpu)
    torch.testing.assert_close(found, expected)


def test_a_unet_under_a_control_and_a_lora_does_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_models(tmp_path)
    write_controls(tmp_path)
    lora = write_lora(tmp_path, "lora.safetensors", unet_lora("drawn", 64))
    asked = request(steps=2)
    use = ControlUse(ControlNet(CONTROL), drawn(3, 1, 64, 64, 3).sigmoid())
    (prompt,) = dict(asked.guider.conditionings)["positive"]
    steered = replace(prompt, controls=(use,), control_apply_to_uncond=True)
    others = dict(asked.guider.conditionings) | {"positive": (steered,)}
    model = asked.guider.model.changed("lora", file=lora, strength=1.0)
    guider = replace(asked.guider, conditionings=tuple(others.items()), model=model)
    asked = replace(asked, guider=guider)
    expected = sampled(tmp_path, CPU, asked)
    with stand_in(monkeypatch) as device:
        found = sampled(tmp_path, device, asked)
    torch.testing.assert_close(found, expected)


def test_pictures_become_latents_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = recorded_shapes("vae_shapes")
    weights = written(tmp_path, filled(next(iter(shapes.values()))))
    image = drawn(1, 1, 32, 32, 3).sigmoid()

    def through(device: torch.device) -> tuple[Tensor, Tensor]:
        vae = load_vae(weights, dtype=torch.float32, device=device)
        latent = encode(vae, image)
        return latent, decode(vae, latent)

    expected = through(CPU)
    with stand_in(monkeypatch) as device:
        found = through(device)
    torch.testing.assert_close(found, expected)


def test_the_stand_in_refuses_what_a_gpu_would(monkeypatch: pytest.MonkeyPatch) -> None:
    with stand_in(monkeypatch) as device:
        there, here = torch.zeros(2, device=device), torch.zeros(2)
        with pytest.raises(WrongDeviceError):
            there + here
        with pytest.raises(WrongDeviceError):
            torch.randn(2, device=device, generator=torch.Generator())
        with pytest.raises(RuntimeError):
            there.numpy()
        assert (there + torch.tensor(1.0)).tolist() == [1.0, 1.0]
        assert there[torch.tensor([0])].device == device
