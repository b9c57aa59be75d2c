"""LoRAs and merges on transformers, in the layouts that trainers write."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from diffusion.engine.stage import SampleStage
from diffusion.families.family import LoadedModel
from diffusion.families.registry import FAMILIES
from diffusion.lora.applying import LORA, Loras
from diffusion.lora.merging import MERGE, WeightChanges
from diffusion.memory.budget import MemoryBudget
from diffusion.networks.packed_layers import TrueWeights
from diffusion.weights import Weights, open_weights
from graph.errors import BadModelFile
from graph.sampling import Guider, Noise, SamplerChoice, SampleRequest
from graph.values import Change, Condition, Latent, Model, ModelFile
from tests.diffusion.dit_files import DEV, SD3, DitShape, drawn_module, reference_layout
from tests.diffusion.model_files import CPU, seeded, written
from tests.diffusion.narrow_stage import drawn

RANK, WIDTH = 4, 64
LORA_FILE = ModelFile("loras", "lora.safetensors")
MODEL_FILE = ModelFile("checkpoints", "other.safetensors")
QKV = "transformer_blocks.1.attn.to_{}.weight"
IMAGE_QKV = "double_blocks.1.img_attn.qkv"


def base(folder: Path, shape: DitShape, factor: float = 1.0) -> LoadedModel:
    tensors = reference_layout(drawn_module(shape), shape)
    scaled = {key: tensor.contiguous() * factor for key, tensor in tensors.items()}
    found = FAMILIES.load(
        written(folder, scaled, "other.safetensors"), dtype=torch.float32, device=CPU
    )
    assert isinstance(found, LoadedModel)
    return found


def changes(folder: Path) -> WeightChanges:
    def opened(file: ModelFile) -> Weights:
        return open_weights(folder / file.name, file)

    return WeightChanges(opened, Loras(opened, budget_bytes=2**20))


def pair(rows: int, columns: int = WIDTH) -> tuple[Tensor, Tensor]:
    return seeded("up.weight", (rows, RANK)), seeded("down.weight", (RANK, columns))


def under(folder: Path, dit: LoadedModel, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a LoRA adds to every parameter that it changes."""
    written(folder, tensors, LORA_FILE.name)
    change = Change(LORA, (("file", LORA_FILE), ("strength", 0.5)))
    patched = changes(folder).on_model(dit, [change])
    assert patched.warnings == ()
    before = dict(dit.module.named_parameters())
    return {
        name: (own - before[name]) / 0.5
        for name, own in patched.module.named_parameters()
        if own is not before[name]
    }


@pytest.mark.parametrize(
    ("up", "down"),
    [
        ("lora_unet_double_blocks_1_img_attn_qkv.lora_up", "lora_down"),
        ("diffusion_model.double_blocks.1.img_attn.qkv.lora_B", "lora_A"),
        ("double_blocks.1.processor.qkv_lora1.up", "down"),
    ],
    ids=["kohya", "bfl", "xlabs"],
)
def test_a_change_to_one_matrix_reaches_its_three_parts(tmp_path: Path, up: str, down: str) -> None:
    ups, downs = pair(3 * WIDTH)
    stem = up.rpartition(".")[0]
    dit = base(tmp_path, DEV)
    added = under(tmp_path, dit, {f"{up}.weight": ups, f"{stem}.{down}.weight": downs})
    expected = (ups @ downs).chunk(3)
    assert added.keys() == {QKV.format(part) for part in "qkv"}
    for part, own in zip("qkv", expected, strict=True):
        assert torch.allclose(added[QKV.format(part)], own, atol=1e-5)


@pytest.mark.parametrize(
    "stem",
    [
        "transformer.transformer_blocks.1.attn.to_q",
        "lora_transformer_transformer_blocks_1_attn_to_q",
    ],
)
def test_diffusers_names_are_known(tmp_path: Path, stem: str) -> None:
    ups, downs = pair(WIDTH)
    tensors = {f"{stem}.lora_up.weight": ups, f"{stem}.lora_down.weight": downs}
    added = under(tmp_path, base(tmp_path, DEV), tensors)
    assert torch.allclose(added[QKV.format("q")], ups @ downs, atol=1e-5)


def test_xlabs_changes_queries_keys_and_values_of_single_blocks(tmp_path: Path) -> None:
    ups, downs = pair(3 * WIDTH)
    stem = "single_blocks.2.processor.qkv_lora"
    tensors = {f"{stem}.up.weight": ups, f"{stem}.down.weight": downs}
    added = under(tmp_path, base(tmp_path, DEV), tensors)
    attn = "single_transformer_blocks.2.attn"
    assert added.keys() == {f"{attn}.to_{part}.weight" for part in "qkv"}


@pytest.mark.parametrize("part", ["diff", "lora"])
def test_halves_in_another_order_are_put_right(tmp_path: Path, part: str) -> None:
    dit = base(tmp_path, SD3)
    ups, downs = pair(2 * WIDTH)
    stem = "lora_unet_final_layer_adaLN_modulation_1"
    lora = {f"{stem}.lora_up.weight": ups, f"{stem}.lora_down.weight": downs}
    tensors = lora if part == "lora" else {f"{stem}.diff": ups @ downs}
    added = under(tmp_path, dit, tensors)["norm_out.linear.weight"]
    scale, shift = (ups @ downs).chunk(2)
    assert torch.allclose(added, torch.cat([shift, scale]), atol=1e-5)


def test_a_lora_for_another_model_is_refused(tmp_path: Path) -> None:
    ups, downs = pair(320)
    stem = "lora_unet_down_blocks_0_attentions_0_proj_in"
    tensors = {f"{stem}.lora_up.weight": ups, f"{stem}.lora_down.weight": downs}
    with pytest.raises(BadModelFile, match="none of its 2 keys fits"):
        under(tmp_path, base(tmp_path, DEV), tensors)


def tool(first: int = 128) -> dict[str, Tensor]:
    """As Black Forest Labs store Depth and Canny as LoRAs for Flux."""
    ups, downs = pair(WIDTH, first)
    bias, norm = seeded("bias", (WIDTH,)), seeded("norm.weight", (32,))
    return {
        "img_in.lora_A.weight": downs,
        "img_in.lora_B.weight": ups,
        "img_in.lora_B.bias": bias,
        "single_blocks.0.norm.key_norm.scale": norm,
        "double_blocks.1.img_attn.norm.query_norm.scale": norm + 1,
    }


def test_a_lora_of_fluxs_tools_widens_the_first_layer(tmp_path: Path) -> None:
    dit, tensors = base(tmp_path, DEV), tool()
    written(tmp_path, tensors, LORA_FILE.name)
    change = Change(LORA, (("file", LORA_FILE), ("strength", 0.5)))
    changed = changes(tmp_path).on_model(dit, [change])
    assert changed.warnings == ()
    assert (dit.in_channels, changed.in_channels) == (16, 32)
    first, before = (each.module.get_submodule("x_embedder") for each in (changed, dit))
    added = tensors["img_in.lora_B.weight"] @ tensors["img_in.lora_A.weight"]
    wide = torch.cat([before.get_parameter("weight"), torch.zeros(WIDTH, 64)], dim=1)
    assert torch.allclose(first.get_parameter("weight"), wide + 0.5 * added, atol=1e-6)
    expected = before.get_parameter("bias") + 0.5 * tensors["img_in.lora_B.bias"]
    assert torch.allclose(first.get_parameter("bias"), expected, atol=1e-6)
    for name, key in {
        "single_transformer_blocks.0.attn.norm_k": "single_blocks.0.norm.key_norm.scale",
        "transformer_blocks.1.attn.norm_q": "double_blocks.1.img_attn.norm.query_norm.scale",
    }.items():
        assert torch.equal(changed.module.get_parameter(f"{name}.weight"), tensors[key])


async def test_a_widened_model_goes_by_a_picture_as_the_whole_tool_does(tmp_path: Path) -> None:
    laid_on, written_change = base(tmp_path, DEV), tool()
    written(tmp_path, written_change, LORA_FILE.name)
    change = Change(LORA, (("file", LORA_FILE), ("strength", 1.0)))
    changed = changes(tmp_path).on_model(laid_on, [change])
    whole = {
        key: tensor.contiguous() for key, tensor in reference_layout(changed.module, DEV).items()
    }
    written(tmp_path, whole, "whole.safetensors")

    def opened(file: ModelFile) -> Weights:
        return open_weights(tmp_path / file.name, file)

    weights = WeightChanges(opened, Loras(opened, budget_bytes=2**20))
    stage = SampleStage(
        opened,
        device=CPU,
        dtype=torch.float32,
        memory=MemoryBudget(2**30),
        weight_changes=(LORA,),
        apply_changes=weights.on_model,
    )

    async def sampled(model: Model, seed: int) -> Tensor:
        extras = {"concat_latent_image": drawn(seed, 1, 16, 8, 8)}
        prompt = (Condition(drawn(1, 1, 7, 32), drawn(2, 1, 24), extras=extras),)
        guider = Guider("basic", model, (("positive", prompt),), ())
        latent = Latent(torch.zeros(1, 16, 8, 8))
        sigmas = torch.linspace(1.0, 0.0, 3)
        request = SampleRequest(guider, Noise(5), SamplerChoice("euler"), sigmas, latent)
        samples: Tensor = (await stage.sample(request))[0].samples
        return samples

    under = Model(MODEL_FILE, changes=(change,))
    of_tool = await sampled(Model(ModelFile("diffusion_models", "whole.safetensors")), 3)
    assert torch.allclose(await sampled(under, 3), of_tool, atol=1e-5)
    assert not torch.allclose(await sampled(under, 4), of_tool, atol=1e-3)
    await stage.close()


@pytest.mark.parametrize("first", [96, 64 * 9])
def test_a_first_layer_widens_by_whole_latents(tmp_path: Path, first: int) -> None:
    with pytest.raises(BadModelFile, match="makes a weight"):
        under(tmp_path, base(tmp_path, DEV), tool(first))


def test_any_lora_may_name_the_shape_that_it_makes(tmp_path: Path) -> None:
    ups, downs = pair(WIDTH, 128)
    lora = {"diffusion_model.img_in.lora_up.weight": ups}
    lora["diffusion_model.img_in.lora_down.weight"] = downs
    lora["diffusion_model.img_in.reshape_weight"] = torch.tensor([WIDTH, 128])
    written(tmp_path, lora, LORA_FILE.name)
    change = Change(LORA, (("file", LORA_FILE), ("strength", 1.0)))
    assert changes(tmp_path).on_model(base(tmp_path, DEV), [change]).in_channels == 32


def test_no_other_layer_widens(tmp_path: Path) -> None:
    ups, downs = pair(WIDTH, 64)
    stem = "diffusion_model.txt_in"
    lora = {f"{stem}.lora_up.weight": ups, f"{stem}.lora_down.weight": downs}
    lora[f"{stem}.reshape_weight"] = torch.tensor([WIDTH, 64])
    with pytest.raises(BadModelFile, match="only the first layer"):
        under(tmp_path, base(tmp_path, DEV), lora)


def test_what_is_laid_on_a_scaled_weight_of_eight_bits_lies_beside_it(tmp_path: Path) -> None:
    tensors = reference_layout(drawn_module(DEV), DEV)
    key = f"{IMAGE_QKV}.weight"
    tensors[key] = (tensors[key] * 100).to(torch.float8_e4m3fn)
    tensors[f"{IMAGE_QKV}.scale_weight"] = torch.tensor(0.01)
    stored = {name: tensor.contiguous() for name, tensor in tensors.items()}
    weights = written(tmp_path, stored, MODEL_FILE.name)
    dit = FAMILIES.load(weights, dtype=torch.float32, device=CPU)
    ups, downs = pair(3 * WIDTH)
    stem = "lora_unet_double_blocks_1_img_attn_qkv"
    lora = {f"{stem}.lora_up.weight": ups, f"{stem}.lora_down.weight": downs}
    written(tmp_path, lora, LORA_FILE.name)
    change = Change(LORA, (("file", LORA_FILE), ("strength", 1.0)))
    model = changes(tmp_path).on_model(dit, [change])
    query, packed = QKV.format("q"), dit.module.get_parameter(QKV.format("q"))
    assert model.module.get_parameter(query) is packed
    assert model.size == ups.nbytes + downs.nbytes
    expected = packed.float() * 0.01 + (ups @ downs)[:WIDTH]
    assert torch.allclose(TrueWeights(model.module)[query], expected, atol=1e-6)
    merge = Change(MERGE, (("other", Model(MODEL_FILE)), ("shares", (("", 0.5, 0.5),))))
    half = changes(tmp_path).on_model(dit, [change, merge]).module
    other = TrueWeights(dit.module)[query]
    assert torch.allclose(TrueWeights(half)[query], (expected + other) / 2, atol=1e-6)


def test_models_merge_under_the_names_of_their_own_files(tmp_path: Path) -> None:
    dit, other = base(tmp_path, DEV), base(tmp_path, DEV, factor=3.0)
    shares = (("", 1.0, 0.0), ("double_blocks.1.img_attn", 0.25, 0.75))
    change = Change(MERGE, (("other", Model(MODEL_FILE)), ("shares", shares)))
    merged = changes(tmp_path).on_model(dit, [change]).module
    for name in (QKV.format("q"), "transformer_blocks.1.attn.to_out.0.weight"):
        expected = dit.module.get_parameter(name) * 0.25 + other.module.get_parameter(name) * 0.75
        assert torch.allclose(merged.get_parameter(name), expected, atol=1e-6)
    untouched = "transformer_blocks.0.attn.to_q.weight"
    assert merged.get_parameter(untouched) is dit.module.get_parameter(untouched)
