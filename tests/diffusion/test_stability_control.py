"""Stability's ControlNets for Stable Diffusion 3.5 Large against ComfyUI 0.3.64 and diffusers.

tests/contract/stability_control.npz holds what comfy.cldm.dit_embedder.ControlNetEmbedder says to a
model of three blocks, of whose layers it has some: `own` where the first is its own, `shared` where
it is the model's. Both are filled by `model_files.seeded`.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion.batch.controls import Control
from diffusion.dit.call import Added, DitCall
from diffusion.dit.control import Heard
from diffusion.families.family import LoadedModel
from diffusion.families.registry import FAMILIES
from diffusion.families.sd3.network import sd3
from diffusion.families.sd3.stability import StabilityControl, load_stability_control, positions
from graph.errors import BadModelFile
from graph.values import ControlNet, ControlUse, ModelFile
from tests.diffusion.dit_files import DEV, SD3, SD35, drawn_module, reference_layout
from tests.diffusion.model_files import CPU, filled, recorded, written
from tests.diffusion.narrow_stage import drawn

WIDTH, BLOCKS, VECTOR = 128, 2, 24
RECORDED = recorded("stability_control")
NET = ControlNet(ModelFile("controlnet", "m.safetensors"))
HEARD = Heard(
    sample=drawn(1, 2, 16, 8, 6),
    hint=drawn(11, 2, 16, 8, 6),
    times=torch.full((2,), 700.0),
    context=drawn(2, 2, 5, 32),
    pooled=drawn(3, 2, VECTOR),
)


def control_tensors(*, own: bool, **numbers: float) -> dict[str, Tensor]:
    """As Stability stores one; `own` with a first layer of its own."""
    layers: dict[str, tuple[int, ...]] = {
        "t_embedder.mlp.0": (WIDTH, 256),
        "t_embedder.mlp.2": (WIDTH, WIDTH),
        "y_embedder.mlp.0": (WIDTH, WIDTH if own else VECTOR),
        "y_embedder.mlp.2": (WIDTH, WIDTH),
        "pos_embed_input.proj": (WIDTH, 16, 2, 2),
    }
    if own:
        layers["x_embedder.proj"] = (WIDTH, 16, 2, 2)
    for i in range(BLOCKS):
        layers[f"controlnet_blocks.{i}"] = (WIDTH, WIDTH)
        block = f"transformer_blocks.{i}"
        layers[f"{block}.adaLN_modulation.1"] = (6 * WIDTH, WIDTH)
        layers[f"{block}.attn.qkv"] = (3 * WIDTH, WIDTH)
        layers[f"{block}.attn.proj"] = (WIDTH, WIDTH)
        layers[f"{block}.mlp.fc1"] = (4 * WIDTH, WIDTH)
        layers[f"{block}.mlp.fc2"] = (WIDTH, 4 * WIDTH)
    shapes = {f"{name}.weight": shape for name, shape in layers.items()}
    shapes |= {f"{name}.bias": shape[:1] for name, shape in layers.items()}
    tensors = filled(shapes)
    return tensors | {name: torch.tensor(number) for name, number in numbers.items()}


def model(folder: Path, shape: Any = SD35) -> LoadedModel:
    tensors = reference_layout(drawn_module(shape), shape)
    weights = written(folder, {k: t.contiguous() for k, t in tensors.items()}, "base.safetensors")
    found = FAMILIES.load(weights, dtype=torch.float32, device=CPU)
    assert isinstance(found, LoadedModel)
    return found


def loaded(folder: Path, tensors: dict[str, Tensor], shape: Any = SD35) -> StabilityControl:
    weights = written(folder, tensors)
    base = model(folder, shape)
    found = load_stability_control(weights, base, dtype=torch.float32, device=CPU)
    assert found is not None
    return found


def said(control: Any, heard: Heard = HEARD) -> Added:
    found: Added = control.behind(heard)
    return found


@pytest.mark.parametrize("name", ["own", "shared"])
def test_it_says_what_comfyuis_does(tmp_path: Path, name: str) -> None:
    control = loaded(tmp_path, control_tensors(own=name == "own"))
    behind = control.spread(said(control), SD35)
    assert len(behind.double) == SD35.depth
    for place, tensor in enumerate(behind.double):
        assert torch.allclose(tensor, RECORDED[f"{name}_{place}"], atol=2e-5, rtol=1e-4)


def test_it_says_what_diffusers_does(tmp_path: Path) -> None:
    from diffusers import SD3ControlNetModel  # noqa: PLC0415

    control = loaded(tmp_path, control_tensors(own=False))
    parts: Any = control
    kind: Any = SD3ControlNetModel
    reference = kind(
        num_layers=BLOCKS,
        num_attention_heads=WIDTH // 64,
        joint_attention_dim=None,
        pooled_projection_dim=VECTOR,
        pos_embed_type=None,
        use_pos_embed=False,
    ).eval()
    reference.load_state_dict(parts._module.state_dict())
    first = parts._first(HEARD.sample).flatten(2).transpose(1, 2) + positions(WIDTH, 4, 3)
    with torch.no_grad():
        (expected,) = reference(
            first, HEARD.hint, 1.0, None, HEARD.pooled, HEARD.times, return_dict=False
        )
    for mine, theirs in zip(said(control).double, expected, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


@pytest.mark.parametrize(("kind", "expected"), [(0, 0.25), (1, 0.25 * 127.5 + 0.5), (2, 0.75)])
def test_each_kind_has_its_pictures_its_own_way(tmp_path: Path, kind: int, expected: float) -> None:
    control = loaded(tmp_path, control_tensors(own=False, control_type=float(kind)))
    seen: list[Tensor] = []

    def encode(picture: Tensor) -> Tensor:
        seen.append(picture)
        return torch.full((1, 16, 8, 6), 0.5)

    use = ControlUse(NET, torch.full((1, 64, 48, 3), 0.25))
    guide = Control(use, control, 1, CPU, 8, 1e9, 0.0, encode).guide(8, 6)
    assert torch.allclose(seen[0], torch.tensor(expected))
    assert torch.allclose(guide.channels, torch.tensor((0.5 - 0.0609) * 1.5305))


def test_the_last_block_is_heard(tmp_path: Path) -> None:
    dit = model(tmp_path)
    module: Any = dit.module
    calls = [
        DitCall(HEARD.sample, HEARD.times, HEARD.context, HEARD.pooled, added=added)
        for added in (None, Added((*[torch.zeros(2, 12, WIDTH)] * 2, drawn(5, 2, 12, WIDTH))))
    ]
    with torch.no_grad():
        plain, under = (sd3(module, call) for call in calls)
    assert not torch.allclose(plain, under, atol=1e-3)


@pytest.mark.parametrize(("shape", "problem"), [(DEV, "Stable Diffusion 3"), (SD3, "width 128")])
def test_a_model_of_another_kind_or_width_is_refused(
    tmp_path: Path, shape: Any, problem: str
) -> None:
    with pytest.raises(BadModelFile, match=problem):
        loaded(tmp_path, control_tensors(own=False), shape)


def test_an_incomplete_one_is_said_to_be(tmp_path: Path) -> None:
    tensors = control_tensors(own=True)
    del tensors["controlnet_blocks.1.weight"]
    with pytest.raises(BadModelFile, match=r"controlnet_blocks\.1"):
        loaded(tmp_path, tensors)
