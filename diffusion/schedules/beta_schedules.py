"""Noise levels by the names that ComfyUI-AnimateDiff-Evolved gives to beta schedules.

"linear" is ComfyUI's own name for betas whose roots are linear, "sqrt_linear" that for linear ones.
(ComfyUI-AnimateDiff-Evolved utils_model.py, BetaSchedules)
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from diffusion.schedules.model_sampling import ModelSampling, Prediction, discrete
from diffusion.schedules.time_axes import BetaSchedule, DiscreteTime, beta_table, betas_to_sigmas

SDXL_END = 0.020
DISTILLED = 50  # levels that latent consistency models keep
PLAIN: Mapping[str, BetaSchedule] = MappingProxyType(
    {
        "sqrt_linear (AnimateDiff)": "sqrt_linear",
        "linear (HotshotXL/default)": "linear",
        "sqrt": "sqrt",
        "cosine": "cosine",
        "squaredcos_cap_v2": "squaredcos_cap_v2",
    }
)
DISTILLING: Mapping[str, tuple[BetaSchedule, int]] = MappingProxyType(
    {
        "lcm": ("linear", DISTILLED),
        "lcm[100_ots]": ("linear", 100),
        "lcm >> sqrt_linear": ("sqrt_linear", DISTILLED),
    }
)
AVERAGES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "avg(sqrt_linear,linear)": ("linear (HotshotXL/default)", "sqrt_linear (AnimateDiff)"),
        "lcm avg(sqrt_linear,linear)": ("lcm", "lcm >> sqrt_linear"),
    }
)


def of_beta_schedule(name: str, prediction: Prediction) -> ModelSampling:
    """A schedule by name, for a model that predicts so unless it is distilled."""
    if name in AVERAGES:
        first, second = (of_beta_schedule(own, prediction) for own in AVERAGES[name])
        sigmas = (first.sigmas + second.sigmas) / 2
        assert isinstance(first.time, DiscreteTime)
        time = DiscreteTime(sigmas.float(), sigmas.log().float(), first.time.stride)
        return replace(first, time=time)
    if name in DISTILLING:
        betas, levels = DISTILLING[name]
        time = DiscreteTime.of(betas_to_sigmas(beta_table(betas)))
        return ModelSampling("lcm", time.distilled(levels))
    if name in PLAIN:
        return discrete(prediction, beta_schedule=PLAIN[name])
    return discrete(prediction, linear_end=SDXL_END)  # "linear (AnimateDiff-SDXL)"
