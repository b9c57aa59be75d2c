"""Conditions and guiders against ComfyUI 0.3.64, over a model that is a formula.

tests/contract/guidance.npz has what comfy.samplers.process_conds and sampling_function (or the
guider's predict_noise) give for the conditions, scales and changes below, where the model answers
x / 2 + mean(context) sin(3 x) + sigma / 100, noise levels are those of ModelSamplingDiscrete with
EPS, x is 3 drawn(0, [2, 2, 16, 24]) and sigma 5. RenormCFG takes one picture; it
had each alone.
"""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from diffusion.batch.frame import Frame
from diffusion.batch.preparation import prepare
from diffusion.batch.rows import Asking, Row
from diffusion.families.sd.family import SD15_LATENT
from diffusion.guidance.changes import start_changes
from diffusion.guidance.guided import Guided
from diffusion.guidance.guiders import GUIDERS
from diffusion.samplers.protocol import Prediction
from diffusion.schedules.model_sampling import discrete
from graph.values import Change, Condition, Conditioning
from tests.diffusion.asking import saying
from tests.diffusion.model_files import recorded
from tests.diffusion.narrow_stage import drawn

EXPECTED = recorded("guidance")
X = drawn(0, 2, 2, 16, 24) * 3
SIGMA = torch.tensor(5.0)


def condition(seed: int, **options: Any) -> Condition:
    return Condition(drawn(seed, 1, 7, 8) + 0.2 * seed, **options)


def answer(row: Row) -> Tensor:
    return row.x / 2 + row.prompt.embedding.context.mean() * (row.x * 3).sin() + 0.01 * row.sigma


def answered(asking: Asking[Prediction]) -> tuple[Prediction, list[int]]:
    """What a guider returns, and how many rows it asked for each time."""
    asked: list[int] = []
    answers: list[Tensor] | None = None
    while True:
        try:
            rows = next(asking) if answers is None else asking.send(answers)
        except StopIteration as end:
            return end.value, asked
        asked.append(len(rows))
        answers = [answer(row) for row in rows]


def guided(
    prompts: Mapping[str, Conditioning],
    scales: Mapping[str, float],
    *changes: Change,
    **options: Any,
) -> Guided:
    sampling = discrete()
    frame = Frame(X, None, sampling, SD15_LATENT)
    return Guided(
        prepare(prompts, frame, saying(2)), scales, sampling, start_changes(changes), **options
    )


def predicted(kind: str, *arguments: Any, **options: Any) -> Tensor:
    prediction, _ = answered(GUIDERS[kind](guided(*arguments, **options), X, SIGMA))
    return prediction.denoised


def assert_as_recorded(name: str, got: Tensor) -> None:
    torch.testing.assert_close(got, EXPECTED[name], rtol=2e-5, atol=2e-5)


SECOND = condition(3)
MIDDLE_MASK = functional.pad(torch.ones(1, 48, 40), (80, 72, 24, 56))
POSITIVES: dict[str, Conditioning] = {
    "plain": (condition(1),),
    "strength": (condition(1, strength=0.4), SECOND),
    "area": (condition(1, area=(8, 12, 0, 0)), SECOND),
    "area_in_the_middle": (condition(1, area=(8, 12, 4, 6), strength=0.7), SECOND),
    "area_over_the_edge": (condition(1, area=(64, 64, 6, 10)),),
    "area_in_percent": (condition(1, area=(0.5, 0.5, 0.25, 0.4), area_in_percent=True), SECOND),
    "mask": (condition(1, mask=drawn(5, 1, 128, 192).abs(), mask_strength=0.8), SECOND),
    "mask_of_a_batch": (condition(1, mask=drawn(5, 2, 16, 24).abs()),),
    "mask_with_bounds": (condition(1, mask=MIDDLE_MASK, mask_bounds=True), SECOND),
    "empty_mask_with_bounds": (
        condition(1, mask=torch.zeros(1, 128, 192), mask_bounds=True),
        SECOND,
    ),
    "range_that_is_over": (condition(1, end_percent=0.1), SECOND),
    "range_that_holds": (condition(1, start_percent=0.1, end_percent=0.9), SECOND),
    "nothing_applies": (condition(1, start_percent=0.9),),
}
TONEMAP = Change("tonemap_reinhard", (("multiplier", 0.8),))
CHANGES: dict[str, Change] = {
    "rescale_cfg": Change("rescale_cfg", (("multiplier", 0.7),)),
    "tcfg": Change("tcfg"),
    "apg": Change("apg", (("eta", 0.5), ("norm_threshold", 2.5), ("momentum", -0.5))),
    "mahiro": Change("mahiro"),
    "cfg_zero_star": Change("cfg_zero_star"),
    "cfg_norm": Change("cfg_norm", (("strength", 0.9),)),
    "frequencies": Change(
        "frequencies", (("scale_low", 0.8), ("scale_high", 1.5), ("freq_cutoff", 5))
    ),
    "renorm_cfg": Change("renorm_cfg", (("cfg_trunc", 100.0), ("renorm_cfg", 0.9))),
    "renorm_cfg_of_zero": Change("renorm_cfg", (("cfg_trunc", 100.0), ("renorm_cfg", 0.0))),
    "renorm_cfg_above": Change("renorm_cfg", (("cfg_trunc", 2.0), ("renorm_cfg", 0.9))),
    "epsilon_scaling": Change("epsilon_scaling", (("scaling_factor", 1.05),)),
    "linear_cfg": Change("linear_cfg", (("min_cfg", 2.0),)),
    "triangle_cfg": Change("triangle_cfg", (("min_cfg", 2.0),)),
    "latent_operation_cfg": Change("latent_operation_cfg", (("operation", TONEMAP),)),
}
TWO: dict[str, Conditioning] = {"positive": (condition(1),), "negative": (condition(2),)}
THREE: dict[str, Conditioning] = {
    "positive": (condition(1),),
    "middle": (condition(2),),
    "negative": (SECOND,),
}
PERP: dict[str, Conditioning] = {**TWO, "empty_negative_prompt": (SECOND,)}


@pytest.mark.parametrize("name", POSITIVES)
def test_conditions_apply_where_and_when_comfyui_applies_them(name: str) -> None:
    prompts = {"positive": POSITIVES[name], "negative": (condition(2),)}
    assert_as_recorded(name, predicted("cfg", prompts, {"cfg": 7.0}))


def test_an_area_of_one_side_is_completed_on_the_other() -> None:
    prompts = {
        "positive": (condition(1, area=(8, 12, 4, 6)), SECOND),
        "negative": (condition(2, area=(12, 16, 2, 4)), condition(4)),
    }
    assert_as_recorded("areas_in_both", predicted("cfg", prompts, {"cfg": 7.0}))


def test_a_scale_of_one_does_not_ask_for_the_negative() -> None:
    prediction, asked = answered(GUIDERS["cfg"](guided(TWO, {"cfg": 1.0}), X, SIGMA))
    assert_as_recorded("cfg_of_one", prediction.denoised)
    assert asked == [1]


def test_a_sampler_that_reads_the_negative_gets_it_at_a_scale_of_one() -> None:
    asking = GUIDERS["cfg"](guided(TWO, {"cfg": 1.0}, wants_uncond=True), X, SIGMA)
    prediction, asked = answered(asking)
    assert asked == [2]
    assert float(prediction.uncond.std()) > 0


def test_a_basic_guider_is_the_positive_alone() -> None:
    denoised = predicted("basic", {"positive": TWO["positive"]}, {})
    assert_as_recorded("cfg_of_one", denoised)


@pytest.mark.parametrize(
    ("name", "scales"),
    [
        ("dual_cfg", {"cfg1": 5.0, "cfg2": 3.0}),
        ("dual_cfg_of_one", {"cfg1": 1.0, "cfg2": 1.0}),
        ("dual_cfg_nested", {"cfg1": 5.0, "cfg2": 3.0}),
    ],
)
def test_two_positives_are_weighed_as_comfyui_weighs_them(
    name: str, scales: dict[str, float]
) -> None:
    kind = name.removesuffix("_of_one")
    assert_as_recorded(name, predicted(kind, THREE, scales))


@pytest.mark.parametrize(("name", "neg_scale"), [("perp_neg", 0.8), ("perp_neg_of_zero", 0.0)])
def test_the_perpendicular_negative_is_comfyuis(name: str, neg_scale: float) -> None:
    scales = {"cfg": 6.0, "neg_scale": neg_scale}
    assert_as_recorded(name, predicted("perp_neg", PERP, scales))


@pytest.mark.parametrize("name", CHANGES)
def test_changes_of_guidance_give_comfyuis_numbers(name: str) -> None:
    assert_as_recorded(name, predicted("cfg", TWO, {"cfg": 7.0}, CHANGES[name]))


def test_a_latent_operation_acts_on_the_positive_of_three_prompts() -> None:
    scales = {"cfg": 6.0, "neg_scale": 0.8}
    change = CHANGES["latent_operation_cfg"]
    assert_as_recorded("latent_operation_cfg_perp_neg", predicted("perp_neg", PERP, scales, change))


def test_perturbed_attention_asks_once_more_with_its_patch() -> None:
    changed = guided(TWO, {"cfg": 7.0}, Change("perturbed_attention", (("scale", 3.0),)))
    asking = GUIDERS["cfg"](changed, X, SIGMA)
    first = next(asking)
    again = asking.send([answer(row) for row in first])
    assert [row.patches for row in again] == [(Change("identity_attention"),)]
