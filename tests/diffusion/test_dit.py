"""Transformers read from files: shapes, layouts, weights of 8 bits, rows side by side."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion.batch.prompts import Prompt, Region
from diffusion.batch.rows import Row
from diffusion.dit.call import DitCall
from diffusion.dit.conditions import DitEmbedding
from diffusion.families.family import LoadedModel
from diffusion.families.flux.network import flux
from diffusion.families.registry import FAMILIES
from diffusion.guidance.model_changes import model_sampling
from diffusion.networks.packed_layers import PackedLinear
from graph.errors import BadModelFile
from tests.diffusion.dit_files import (
    DEV,
    SD3,
    SD35,
    DitShape,
    denoiser_of,
    diffusers_answer,
    drawn_module,
    network_of,
    reference_layout,
)
from tests.diffusion.model_files import CPU, written
from tests.diffusion.narrow_stage import drawn

SCHNELL = replace(DEV, guided=False)
SHAPES = {"sd3": SD3, "sd35": SD35, "dev": DEV, "schnell": SCHNELL}
E4M3 = torch.float8_e4m3fn


def stored(shape: DitShape, layout: str) -> dict[str, Tensor]:
    module = drawn_module(shape)
    if layout == "diffusers":
        return {key: tensor.clone() for key, tensor in module.state_dict().items()}
    prefix = "model.diffusion_model." if layout == "checkpoint" else ""
    return {prefix + k: t.contiguous() for k, t in reference_layout(module, shape).items()}


def loaded(folder: Path, tensors: dict[str, Tensor], **options: Any) -> LoadedModel:
    weights = written(folder, tensors)
    found = FAMILIES.load(weights, dtype=torch.float32, device=CPU, **options)
    assert isinstance(found, LoadedModel)
    return found


def asked(shape: DitShape, count: int = 2) -> DitCall:
    return DitCall(
        sample=drawn(1, count, 16, 8, 6),
        times=torch.full((count,), 0.7),
        context=drawn(2, count, 5, shape.context_dim),
        pooled=drawn(3, count, shape.y_dim),
        guidance=torch.full((count,), 3.5),
    )


@pytest.mark.parametrize("layout", ["reference", "checkpoint", "diffusers"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_layout_gives_diffusers_module(tmp_path: Path, shape: DitShape, layout: str) -> None:
    dit = loaded(tmp_path, stored(shape, layout))
    assert dit.shape == shape
    expected = drawn_module(shape).state_dict()
    own = dit.module.state_dict()
    assert own.keys() == expected.keys()
    assert all(torch.equal(own[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("shape", "kind", "shift"),
    [(SD3, "flow", 3.0), (DEV, "exponential_flow", 1.15), (SCHNELL, "flow", 1.0)],
)
def test_a_family_has_its_own_flow(
    tmp_path: Path, shape: DitShape, kind: str, shift: float
) -> None:
    own = loaded(tmp_path, stored(shape, "reference")).parameterization
    assert (own.kind, own.shift) == (kind, shift)
    assert model_sampling(own, ()).is_flow


def test_flux_is_run_as_diffusers_runs_it(tmp_path: Path) -> None:
    dit, call = loaded(tmp_path, stored(DEV, "reference")), asked(DEV)
    module: Any = dit.module
    assert torch.allclose(flux(module, call), diffusers_answer(module, call), atol=1e-5)


@pytest.mark.parametrize("shape", [SD3, DEV], ids=["sd3", "flux"])
def test_odd_sizes_go_on_at_the_other_side(tmp_path: Path, shape: DitShape) -> None:
    network = network_of(loaded(tmp_path, stored(shape, "reference")))
    call = asked(shape)
    odd = replace(call, sample=call.sample[..., :7, :5])
    wrapped = torch.cat([odd.sample, odd.sample[..., :1, :]], dim=-2)
    wrapped = torch.cat([wrapped, wrapped[..., :1]], dim=-1)
    assert torch.equal(network(odd), network(replace(call, sample=wrapped))[..., :7, :5])


@pytest.mark.parametrize("shape", [SD35, DEV], ids=["sd3", "flux"])
def test_weights_of_eight_bits_stay_so(tmp_path: Path, shape: DitShape) -> None:
    tensors = {key: tensor.to(E4M3) for key, tensor in stored(shape, "reference").items()}
    narrow = loaded(tmp_path, tensors)
    wide = loaded(tmp_path, {key: tensor.float() for key, tensor in tensors.items()})
    assert narrow.size < wide.size / 3
    layers = [layer for layer in narrow.module.modules() if isinstance(layer, PackedLinear)]
    assert all(layer.weight.dtype == E4M3 for layer in layers)
    assert torch.equal(network_of(narrow)(asked(shape)), network_of(wide)(asked(shape)))


@pytest.mark.parametrize("weight_dtype", ["fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"])
def test_a_loader_may_ask_for_eight_bits(tmp_path: Path, weight_dtype: str) -> None:
    narrow = loaded(tmp_path, stored(DEV, "reference"), weight_dtype=weight_dtype)
    kept = E4M3 if "e4m3" in weight_dtype else torch.float8_e5m2
    rounded = {key: t.to(kept).float() for key, t in stored(DEV, "reference").items()}
    wide = loaded(tmp_path, rounded)
    assert torch.equal(network_of(narrow)(asked(DEV)), network_of(wide)(asked(DEV)))


@pytest.mark.parametrize("mark", ["scale_weight", "weight_scale"])
def test_scaled_weights_stand_for_their_product(tmp_path: Path, mark: str) -> None:
    plain = stored(DEV, "reference")
    scaled, product = dict(plain), dict(plain)
    for key in [key for key in plain if key.endswith("qkv.weight")]:
        scale = plain[key].abs().max() / 448
        scaled[key] = (plain[key] / scale).to(E4M3)
        scaled[key.replace(".weight", f".{mark}")] = scale
        product[key] = scaled[key].float() * scale
    narrow, wide = (network_of(loaded(tmp_path, tensors)) for tensors in (scaled, product))
    assert torch.allclose(narrow(asked(DEV)), wide(asked(DEV)), atol=1e-5)


def test_an_incomplete_file_is_said_to_be(tmp_path: Path) -> None:
    tensors = stored(DEV, "reference")
    del tensors["double_blocks.1.txt_mlp.2.weight"]
    with pytest.raises(BadModelFile, match=r"transformer_blocks\.1\.ff_context"):
        loaded(tmp_path, tensors)
    del tensors["img_in.weight"]
    with pytest.raises(BadModelFile, match="incomplete"):
        FAMILIES.find(written(tmp_path, tensors))


def test_shapes_that_cannot_be_are_refused(tmp_path: Path) -> None:
    tensors = stored(DEV, "reference")
    for head in (0, 24):
        tensors["double_blocks.0.img_attn.norm.query_norm.scale"] = torch.zeros(head)
        with pytest.raises(BadModelFile, match=f"heads of {head}"):
            FAMILIES.find(written(tmp_path, tensors))


def row(dit: LoadedModel, seed: int, *, tokens: int = 5, guidance: float | None = 3.5) -> Row:
    embedding = DitEmbedding(
        drawn(seed, 1, tokens, dit.shape.context_dim),
        drawn(seed + 1, 1, dit.shape.y_dim),
        None,
        guidance,
    )
    x = drawn(seed + 2, 1, 16, 8, 6)
    region = Region(None, None, 1.0, 1.0, 1e9, 0.0)
    sampling = model_sampling(dit.parameterization, ())
    return Row(x, torch.tensor(0.6), Prompt(region, embedding, x.shape), sampling)


@pytest.mark.parametrize("shape", [SD3, DEV], ids=["sd3", "flux"])
def test_a_row_does_not_depend_on_its_company(tmp_path: Path, shape: DitShape) -> None:
    dit = loaded(tmp_path, stored(shape, "reference"))
    denoiser = denoiser_of(dit)
    rows = [row(dit, 10), row(dit, 20, tokens=9), row(dit, 30, guidance=None), row(dit, 40)]
    together = denoiser(rows)
    alone = [denoiser([each])[0] for each in rows]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(together, alone, strict=True))


def test_guidance_is_heard_by_those_it_is_for(tmp_path: Path) -> None:
    for shape, hears in ((DEV, True), (SCHNELL, False)):
        dit = loaded(tmp_path, stored(shape, "reference"))
        denoiser = denoiser_of(dit)
        low, high, none = denoiser([row(dit, 1, guidance=g) for g in (1.0, 9.0, None)])
        assert torch.allclose(low, high, atol=1e-5) is not hears
        assert torch.allclose(low, none, atol=1e-5) is not hears
