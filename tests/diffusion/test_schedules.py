"""Schedules and sigma nodes against ComfyUI's numbers."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from diffusion.samplers.ksampler import ksampler_sigmas
from diffusion.schedules import schedulers, sigma_lists, tables
from diffusion.schedules.model_sampling import ModelSampling, discrete
from graph.choices import SigmaSpacing
from tests.diffusion.test_model_sampling import MODELS
from tests.recorded_sigmas import recorded

RECORDED = recorded()
SD: ModelSampling = discrete()
RANGE = (14.614642, 0.0291675)
BASE = RECORDED["base"].float()


def names(prefix: str) -> list[str]:
    """Recordings of one kind; a few of ComfyUI's are NaN, of a single step."""
    return [n for n, v in RECORDED.items() if n.startswith(prefix + "/") and v.isfinite().all()]


def same(ours: Tensor, name: str) -> None:
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours.double(), RECORDED[name], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", names("schedule"))
def test_a_scheduler_gives_comfyui_s_sigmas(name: str) -> None:
    _, model, scheduler, steps = name.split("/")
    same(schedulers.schedule(scheduler, MODELS[model], int(steps)), name)


@pytest.mark.parametrize("name", names("ksampler"))
def test_ksampler_cuts_its_schedule_as_comfyui_does(name: str) -> None:
    _, sampler, denoise = name.split("/")
    same(ksampler_sigmas(SD, sampler, "normal", 7, float(denoise)), name)


@pytest.mark.parametrize("name", names("basic"))
def test_basic_scheduler_cuts_its_schedule_as_comfyui_does(name: str) -> None:
    same(schedulers.basic(SD, "karras", 7, float(name.split("/")[1])), name)


@pytest.mark.parametrize("name", names("advanced"))
def test_ksampler_advanced_takes_the_steps_comfyui_takes(name: str) -> None:
    start, last, full = map(int, name.split("/")[1:])
    ours = schedulers.steps_between(BASE, start, last, force_full_denoise=bool(full))
    same(ours, name)


FORMULAS: dict[str, Callable[..., Tensor]] = {
    "karras": lambda steps, rho: schedulers.karras(steps, *RANGE, rho),
    "exponential": lambda steps: schedulers.exponential(steps, *RANGE),
    "polyexponential": lambda steps, rho: schedulers.polyexponential(steps, *RANGE, rho),
    "laplace": lambda steps, mu, beta: schedulers.laplace(steps, *RANGE, mu, beta),
    "vp": schedulers.vp,
    "beta": lambda steps, a, b: schedulers.beta(SD, steps, alpha=a, beta=b),
    "sd_turbo": lambda steps, denoise: schedulers.sd_turbo(SD, steps, denoise),
    "ltxv": lambda steps, tokens, stretch: schedulers.ltxv(
        steps, tokens, terminal=0.1 if stretch else None
    ),
}


@pytest.mark.parametrize("name", [n for formula in FORMULAS for n in names(formula)])
def test_a_scheduler_node_gives_comfyui_s_sigmas(name: str) -> None:
    formula, steps, *options = name.split("/")
    numbers = [int(o) if o.isdigit() else float(o) for o in options]
    same(FORMULAS[formula](int(steps), *numbers), name)


@pytest.mark.parametrize("name", [*names("ays"), *names("oss"), *names("gits")])
def test_a_table_is_read_as_comfyui_reads_it(name: str) -> None:
    table, kind, steps, denoise = name.split("/")
    if table == "gits":
        same(tables.gits(float(kind), int(steps), float(denoise)), name)
        return
    found = {"ays": tables.align_your_steps, "oss": tables.optimal_steps}
    same(found[table](kind, int(steps), float(denoise)), name)


@pytest.mark.parametrize("step", [0, 3, 8, 20])
def test_sigmas_are_split_at_a_step(step: int) -> None:
    high, low = sigma_lists.split(BASE, step)
    same(high, f"split/{step}/high")
    same(low, f"split/{step}/low")


@pytest.mark.parametrize("denoise", [0.0, 0.3, 1.0])
def test_sigmas_are_split_by_denoise(denoise: float) -> None:
    high, low = sigma_lists.split_by_denoise(BASE, denoise)
    same(high, f"split_denoise/{denoise}/high")
    same(low, f"split_denoise/{denoise}/low")


def test_flipped_sigmas_rise_from_nearly_nothing() -> None:
    same(sigma_lists.flip(BASE), "flip")


def test_the_first_sigma_is_replaced_in_a_copy() -> None:
    before = BASE.clone()
    same(sigma_lists.set_first(BASE, 20.5), "set_first")
    assert torch.equal(BASE, before)


@pytest.mark.parametrize("spacing", ["linear", "cosine", "sine"])
def test_steps_between_two_sigmas_are_subdivided(spacing: SigmaSpacing) -> None:
    same(sigma_lists.extend_intermediate(BASE, 3, 8.0, 0.5, spacing), f"extend/{spacing}")
    ours = sigma_lists.extend_intermediate(BASE, 2, -1.0, 0.0, spacing)
    same(ours, f"extend_all/{spacing}")


def test_sigmas_are_read_from_any_list_of_numbers() -> None:
    assert sigma_lists.manual("14.6, 1; .5 and 0").tolist() == pytest.approx([14.6, 1.0, 0.5, 0.0])


def test_the_percents_of_the_ends_are_the_ends_when_the_actual_sigma_is_asked_for() -> None:
    assert sigma_lists.percent_to_sigma(SD, 0.0, actual=True) == float(SD.sigma_max)
    assert sigma_lists.percent_to_sigma(SD, 1.0, actual=True) == float(SD.sigma_min)
    assert sigma_lists.percent_to_sigma(SD, 1.0) == 0.0


@pytest.mark.parametrize("scheduler", schedulers.SCHEDULERS)
def test_a_single_step_goes_from_the_top_to_zero(scheduler: str) -> None:
    sigmas = schedulers.schedule(scheduler, SD, 1)
    assert sigmas.isfinite().all()
    assert sigmas[-1] == 0
