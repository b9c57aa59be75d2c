"""ControlNets of transformers against ComfyUI 0.3.64: tests/contract/dit_control.npz.

It holds what comfy.ldm.flux.controlnet.ControlNetFlux and comfy.cldm.mmdit.ControlNet say behind
the first and the last block that hears them of models of five double (or joint) and four single
blocks, and how many there are, filled by `drawn`: `instantx0`, `instantx3` (a union, told that the
hint is of its third type), `instantx_auto` (told nothing), `xlabs` and `sd3`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion.batch.controls import Control, ControlNeedsVaeError, prepare_controls
from diffusion.batch.prompts import Prompt, Region
from diffusion.batch.rows import Row
from diffusion.dit.call import Added
from diffusion.dit.conditions import DitEmbedding
from diffusion.dit.control import Heard, LoadedDitControl
from diffusion.families.family import ControlSource, LoadedModel
from diffusion.families.flux.control import spread
from diffusion.families.registry import FAMILIES
from diffusion.families.sd3.control import spread as sd3_spread
from diffusion.guidance.model_changes import model_sampling
from graph.errors import BadModelFile
from graph.values import Condition, ControlNet, ControlUse, ModelFile, Vae
from tests.diffusion.dit_control_files import flux_tensors, sd3_tensors, xlabs_tensors
from tests.diffusion.dit_files import DEV, SD3, denoiser_of, drawn_module, reference_layout
from tests.diffusion.model_files import CPU, recorded, written
from tests.diffusion.narrow_stage import drawn

RECORDED = recorded("dit_control")
NET = ControlNet(ModelFile("controlnet", "m.safetensors"))
VAE = Vae(ModelFile("vae", "ae.safetensors"))
DEEP_FLUX, DEEP_SD3 = replace(DEV, double=5, single=4), replace(SD3, depth=5)
HEARD = Heard(
    sample=drawn(1, 2, 16, 8, 6),
    hint=drawn(11, 2, 16, 8, 6),
    times=torch.full((2,), 0.7),
    context=drawn(2, 2, 5, 32),
    pooled=drawn(3, 2, 24),
    guidance=torch.full((2,), 3.5),
)


def loaded(folder: Path, tensors: dict[str, Tensor]) -> LoadedDitControl:
    weights = written(folder, tensors)
    (kind,) = (kind for kind in FAMILIES.controls if kind.mine(weights))
    nothing: Any = None
    found = kind.load(ControlSource(weights, nothing, None, torch.float32, CPU))
    assert isinstance(found, LoadedDitControl)
    return found


def said(control: LoadedDitControl, heard: Heard) -> Added:
    return control.behind(heard)


def assert_recorded(name: str, added: Added, kinds: dict[str, tuple[Tensor, ...]]) -> None:
    assert added.double
    for kind, tensors in kinds.items():
        assert len(tensors) == int(RECORDED[f"{name}_{kind}_count"])
        for place in (0, len(tensors) - 1):
            expected = RECORDED[f"{name}_{kind}_{place}"]
            assert torch.allclose(tensors[place], expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "modes", "mode"),
    [("instantx0", 0, None), ("instantx3", 3, 2), ("instantx_auto", 3, None)],
)
def test_controls_of_latents_say_what_comfyuis_do(
    tmp_path: Path, name: str, modes: int, mode: int | None
) -> None:
    control = loaded(tmp_path, flux_tensors(modes))
    added = said(control, replace(HEARD, mode=mode))
    deep = spread(added, DEEP_FLUX, cycled=False)
    assert_recorded(name, added, {"input": deep.double, "output": deep.single})


def test_controls_of_pictures_say_what_comfyuis_do(tmp_path: Path) -> None:
    control = loaded(tmp_path, xlabs_tensors())
    assert not control.reads_latents
    guide = control.guide(drawn(12, 2, 64, 48, 3).sigmoid(), 64, 48, NET)
    added = said(control, replace(HEARD, hint=guide.channels))
    assert_recorded("xlabs", added, {"input": spread(added, DEEP_FLUX, cycled=True).double})


def test_controls_of_stable_diffusion_3_say_what_comfyuis_do(tmp_path: Path) -> None:
    control = loaded(tmp_path, sd3_tensors())
    added = said(control, replace(HEARD, times=HEARD.times * 1000))
    assert_recorded("sd3", added, {"output": sd3_spread(added, DEEP_SD3).double})


def test_a_control_for_other_models_is_refused(tmp_path: Path) -> None:
    control = loaded(tmp_path, flux_tensors())
    assert control.misfit(DEV) is None
    assert "Flux" in (control.misfit(SD3) or "")
    assert "width" in (control.misfit(replace(DEV, width=128)) or "")


def test_an_incomplete_control_is_said_to_be(tmp_path: Path) -> None:
    tensors = flux_tensors()
    del tensors["controlnet_blocks.1.weight"]
    with pytest.raises(BadModelFile, match=r"controlnet_blocks\.1"):
        loaded(tmp_path, tensors)


def test_latents_need_an_autoencoder(tmp_path: Path) -> None:
    use = ControlUse(NET, torch.zeros(1, 64, 48, 3))
    conditions = [Condition(drawn(1, 1, 5, 32), controls=(use,))]
    nets: Any = {NET: loaded(tmp_path, flux_tensors())}
    sampling = model_sampling(model(tmp_path).parameterization, ())
    with pytest.raises(ControlNeedsVaeError, match="VAE"):
        prepare_controls(conditions, nets, DEV, sampling, torch.zeros(1, 16, 8, 6), px=8)


def model(folder: Path) -> LoadedModel:
    tensors = reference_layout(drawn_module(DEV), DEV)
    weights = written(folder, {k: t.contiguous() for k, t in tensors.items()}, "base.safetensors")
    found = FAMILIES.load(weights, dtype=torch.float32, device=CPU)
    assert isinstance(found, LoadedModel)
    return found


def row(dit: LoadedModel, *controls: Control) -> Row:
    embedding = DitEmbedding(drawn(1, 1, 5, 32), drawn(2, 1, 24), None, 3.5)
    x = drawn(3, 1, 16, 8, 6)
    region = Region(None, None, 1.0, 1.0, 1e9, 0.0)
    prompt = Prompt(region, embedding, x.shape, controls)
    return Row(x, torch.tensor(0.6), prompt, model_sampling(dit.parameterization, ()))


def test_rows_with_and_without_control_share_a_call(tmp_path: Path) -> None:
    dit = model(tmp_path)
    network: Any = loaded(tmp_path, flux_tensors())

    def under(strength: float) -> Control:
        use = ControlUse(NET, drawn(4, 1, 64, 48, 3).sigmoid(), strength, vae=VAE)
        return Control(use, network, 1, CPU, 8, 1e9, 0.0, lambda _: drawn(5, 1, 16, 8, 6))

    denoiser = denoiser_of(dit)
    rows = [row(dit), row(dit, under(1.0)), row(dit, under(0.5), under(0.5)), row(dit, under(0.5))]
    plain, whole, halves, half = denoiser(rows)
    assert torch.allclose(plain, denoiser([rows[0]])[0], atol=1e-5)
    assert torch.allclose(whole, denoiser([rows[1]])[0], atol=1e-5)
    assert torch.allclose(whole, halves, atol=1e-4)
    assert not torch.allclose(plain, half, atol=1e-3)
    assert not torch.allclose(whole, half, atol=1e-3)
