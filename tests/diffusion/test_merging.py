"""Models merged by weights: shares by block, order, and what a merge may share with its base."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from diffusion.families.family import LoadedModel
from diffusion.families.registry import FAMILIES
from diffusion.lora.applying import Loras
from diffusion.lora.merging import WeightChanges, file_name, share_of
from diffusion.weights import Weights, open_weights
from graph.errors import BadModelFile
from graph.nodes.attention_multiply import multiply_cross_attention, multiply_self_attention
from graph.nodes.model_merging import (
    add_models,
    merge_by_blocks,
    merge_models,
    merge_three_blocks,
    subtract_models,
)
from graph.values import Model, ModelFile
from tests.diffusion.model_files import CPU
from tests.diffusion.narrow_stage import INPAINT, NARROW, OTHER, REFINER, write_models

FIRST, LAST = "conv_in.weight", "conv_out.weight"  # input_blocks.0.0 and out.2
ONE, TWO = Model(NARROW), Model(OTHER)  # every weight of the other is nine tenths


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[ModelFile], Weights]:
    folder = tmp_path_factory.mktemp("models")
    write_models(folder)
    return lambda file: open_weights(folder / file.name, file)


@pytest.fixture(scope="module")
def base(opened: Callable[[ModelFile], Weights]) -> LoadedModel:
    return FAMILIES.load(opened(NARROW), dtype=torch.float32, device=CPU)


@pytest.fixture(scope="module")
def weight_changes(opened: Callable[[ModelFile], Weights]) -> WeightChanges:
    return WeightChanges(opened, Loras(opened, budget_bytes=2**20))


def weight(unet: LoadedModel, name: str) -> Tensor:
    found: Tensor = unet.module.get_parameter(name)
    return found


def test_a_merge_mixes_every_weight(base: LoadedModel, weight_changes: WeightChanges) -> None:
    half = merge_models(model1=ONE, model2=TWO, ratio=0.5)
    mixed = weight_changes.on_model(base, half.changes)
    for name, own in base.module.named_parameters():
        torch.testing.assert_close(weight(mixed, name), own * 0.95)


def test_blocks_have_shares_of_their_own(base: LoadedModel, weight_changes: WeightChanges) -> None:
    thirds = merge_three_blocks(model1=ONE, model2=TWO, input=0.5, middle=1.0, out=0.0)
    mixed = weight_changes.on_model(base, thirds.changes)
    middle = "mid_block.resnets.0.conv1.weight"
    torch.testing.assert_close(weight(mixed, FIRST), weight(base, FIRST) * 0.95)
    torch.testing.assert_close(weight(mixed, LAST), weight(base, LAST) * 0.9)
    assert weight(mixed, middle) is weight(base, middle)
    time = "time_embedding.linear_1.weight"  # of no block, so the first share is its own
    torch.testing.assert_close(weight(mixed, time), weight(base, time) * 0.95)


def test_a_difference_is_added(base: LoadedModel, weight_changes: WeightChanges) -> None:
    difference = subtract_models(model1=ONE, model2=TWO, multiplier=1.0)
    moved = weight_changes.on_model(base, add_models(model1=ONE, model2=difference).changes)
    torch.testing.assert_close(weight(moved, FIRST), weight(base, FIRST) * 1.1)


def test_attention_is_multiplied_with_its_biases(
    base: LoadedModel, weight_changes: WeightChanges
) -> None:
    changed = multiply_cross_attention(
        model=multiply_self_attention(model=ONE, q=0.5, out=2.0), v=3.0, out=0.5
    )
    scaled = weight_changes.on_model(base, changed.changes)
    ends = {"attn1.to_q": 0.5, "attn1.to_out.0": 2.0, "attn2.to_v": 3.0, "attn2.to_out.0": 0.5}
    seen = set()
    for name, own in base.module.named_parameters():
        layer = name.rpartition(".")[0]
        end = next((end for end in ends if layer.endswith(end)), "")
        torch.testing.assert_close(weight(scaled, name), own * ends.get(end, 1.0))
        seen.add((end, name.rpartition(".")[2]))
    assert {("attn1.to_out.0", "bias"), ("attn2.to_v", "weight")} <= seen


def test_a_first_layer_of_another_width_is_left_out(
    opened: Callable[[ModelFile], Weights], weight_changes: WeightChanges
) -> None:
    inpaint = FAMILIES.load(opened(INPAINT), dtype=torch.float32, device=CPU)
    mixed = weight_changes.on_model(inpaint, add_models(model1=Model(INPAINT), model2=TWO).changes)
    assert torch.equal(weight(mixed, FIRST), weight(inpaint, FIRST))
    torch.testing.assert_close(weight(mixed, LAST), weight(inpaint, LAST) * 1.9)


def test_a_merge_costs_what_it_does_not_share(
    base: LoadedModel, weight_changes: WeightChanges
) -> None:
    only_out = merge_by_blocks(model1=ONE, model2=TWO, **{"time_embed.": 1.0, "out.2": 0.5})
    mixed = weight_changes.on_model(base, only_out.changes)
    ends = sum(weight(base, f"conv_out.{part}").nbytes for part in ("weight", "bias"))
    assert mixed.size == ends


def test_a_base_is_never_written_to(base: LoadedModel, weight_changes: WeightChanges) -> None:
    before = weight(base, FIRST).clone()
    weight_changes.on_model(base, subtract_models(model1=ONE, model2=TWO, multiplier=3.0).changes)
    assert torch.equal(weight(base, FIRST), before)


def test_models_of_two_families_are_refused(
    base: LoadedModel, weight_changes: WeightChanges
) -> None:
    with pytest.raises(BadModelFile, match="family refiner"):
        weight_changes.on_model(base, merge_models(model1=ONE, model2=Model(REFINER)).changes)


def test_the_longest_start_counts() -> None:
    shares = (("", 1.0, 0.0), ("input_blocks.1", 0.5, 0.5), ("input_blocks.11.", 0.2, 0.8))
    assert share_of("input_blocks.11.0.weight", shares) == (0.2, 0.8)
    assert share_of("input_blocks.1.0.weight", shares) == (0.5, 0.5)
    assert share_of("out.0.weight", shares) == (1.0, 0.0)


def test_weights_are_named_as_ldm_names_them() -> None:
    ldm = {"up_blocks.0.attentions.1": "output_blocks.1.1", "conv_out": "out.2"}
    name = "up_blocks.0.attentions.1.transformer_blocks.0.norm1.weight"
    assert file_name(name, ldm) == "output_blocks.1.1.transformer_blocks.0.norm1.weight"
    assert file_name("conv_out.bias", ldm) == "out.2.bias"
