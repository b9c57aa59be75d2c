"""Samplers on Gaussian data, where the probability-flow ODE and every marginal are known.

With data N(MEAN, STD^2) the best denoiser is linear and the ODE scales the distance to the mean by
the marginal's standard deviation.
"""

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion.latent.noise import NoiseSource
from diffusion.samplers import SAMPLERS
from diffusion.samplers.protocol import Prediction, SamplingContext
from diffusion.schedules.model_sampling import ModelSampling, discrete, flow

MEAN, STD = 0.3, 0.7
MODELS = {"eps": discrete(), "flow": flow()}
ENDS = {"eps": (10.0, 0.2), "flow": (0.95, 0.1)}
ODE: Mapping[str, Any] = {"eta": 0.0}

# The order a sampler reaches, as far as its first steps, taken at lower order, let it.
ORDERS: Mapping[str, tuple[int, Mapping[str, Any]]] = {
    "euler": (1, {}),
    "euler_cfg_pp": (1, {}),
    "euler_pp": (1, {}),
    "euler_ancestral": (1, ODE),
    "euler_ancestral_cfg_pp": (1, ODE),
    "gradient_estimation": (1, {}),
    "gradient_estimation_cfg_pp": (1, {}),
    "heunpp2": (1, {}),
    "heun": (2, {}),
    "dpm_2": (2, {}),
    "dpm_2_ancestral": (2, ODE),
    "dpmpp_2s_ancestral": (2, ODE),
    "dpmpp_sde": (2, ODE),
    "dpmpp_2m": (2, {}),
    "dpmpp_2m_cfg_pp": (2, {}),
    "dpmpp_2m_sde": (2, ODE),
    "dpmpp_2m_sde_heun": (2, ODE),
    "dpmpp_3m_sde": (2, ODE),
    "res_multistep": (2, {}),
    "res_multistep_cfg_pp": (2, {}),
    "res_multistep_ancestral": (2, ODE),
    "res_multistep_ancestral_cfg_pp": (2, ODE),
    "lms": (2, {}),
    "ipndm": (2, {}),
    "ipndm_v": (2, {}),
    "deis": (2, {}),
    "er_sde": (2, {"solver_type": "ODE"}),
    "uni_pc": (2, {}),
    "uni_pc_bh2": (2, {}),
    "dpm_fast": (2, {}),
    "seeds_2": (2, ODE),
    "seeds_3": (3, ODE),
}
STOCHASTIC = (
    "euler_ancestral",
    "dpm_2_ancestral",
    "dpmpp_2s_ancestral",
    "dpmpp_sde",
    "dpmpp_2m_sde",
    "dpmpp_2m_sde_heun",
    "dpmpp_3m_sde",
    "er_sde",
    "seeds_2",
    "seeds_3",
    "sa_solver",
    "sa_solver_pece",
)


def marginal(model: ModelSampling, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of x at `sigma`."""
    alpha = model.alpha(sigma)
    return alpha * MEAN, (alpha**2 * STD**2 + sigma**2).sqrt()


def denoise(model: ModelSampling, x: Tensor, sigma: Tensor) -> Tensor:
    mean, std = marginal(model, sigma)
    return MEAN + model.alpha(sigma) * STD**2 / std**2 * (x - mean)


def levels(kind: str, steps: int) -> Tensor:
    """[steps + 1], float64: even in log sigma, on a flow in sigma."""
    high, low = ENDS[kind]
    if kind == "flow":
        return torch.linspace(high, low, steps + 1, dtype=torch.float64)
    return torch.linspace(math.log(high), math.log(low), steps + 1, dtype=torch.float64).exp()


def sample(name: str, model: ModelSampling, x: Tensor, sigmas: Tensor, **options: Any) -> Tensor:
    source = options.pop("noise", NoiseSource(5, tuple(x.shape)))
    sampler = SAMPLERS[name]
    steps = sampler.function(x, sigmas, SamplingContext(source, model), **options)
    answer: Any = None
    while True:
        try:
            x, sigma = steps.send(answer)
        except StopIteration as end:
            final: Tensor = end.value
            return final
        answer = denoise(model, x, sigma)
        if sampler.wants_uncond:
            answer = Prediction(answer, answer)


def error(name: str, kind: str, steps: int, options: Mapping[str, Any]) -> float:
    """How far from the ODE's solution a sampler of so many steps ends."""
    model, sigmas = MODELS[kind], levels(kind, steps)
    x = torch.linspace(-1.5, 1.5, 8, dtype=torch.float64).reshape(1, 2, 2, 2) * sigmas[0]
    (mean, std), (mean_end, std_end) = marginal(model, sigmas[0]), marginal(model, sigmas[-1])
    exact = mean_end + (x - mean) / std * std_end
    return float((sample(name, model, x, sigmas, **options) - exact).abs().max())


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("name", ORDERS)
def test_the_error_falls_with_the_order_of_the_method(name: str, kind: str) -> None:
    order, options = ORDERS[name]
    coarse, fine = error(name, kind, 20, options), error(name, kind, 80, options)
    assert math.log(coarse / fine, 4) > order - 0.5
    assert fine < 0.02


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("name", STOCHASTIC)
def test_added_noise_keeps_the_spread_of_the_data(name: str, kind: str) -> None:
    model, sigmas = MODELS[kind], levels(kind, 40).float()
    mean, std = marginal(model, sigmas[0])
    normal = torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    x = sample(name, model, mean + std * normal, torch.cat([sigmas, torch.zeros(1)]))
    _, std_end = marginal(model, sigmas[-1])
    spread = STD**2 / std_end * model.alpha(sigmas[-1])  # of the last prediction
    assert x.std().item() == pytest.approx(float(spread), rel=0.08)
    assert x.mean().item() == pytest.approx(MEAN, abs=0.04)


def test_ddpm_keeps_the_spread_of_the_data() -> None:
    model, sigmas = MODELS["eps"], levels("eps", 200).float()
    mean, std = marginal(model, sigmas[0])
    normal = torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    x = sample("ddpm", model, mean + std * normal, sigmas)
    assert x.std().item() == pytest.approx(float(marginal(model, sigmas[-1])[1]), rel=0.08)


def test_lcm_lands_where_the_last_prediction_is() -> None:
    model, x = MODELS["eps"], torch.full((1, 1, 2, 2), 3.0)
    assert torch.equal(
        sample("lcm", model, x, torch.tensor([5.0, 0.0])), denoise(model, x, torch.tensor(5.0))
    )


def test_the_adaptive_solver_keeps_its_tolerance() -> None:
    options = {"rtol": 1e-4, "atol": 1e-5}
    assert error("dpm_adaptive", "eps", 2, options) < 1e-3


@pytest.mark.parametrize("name", [name for name, sampler in SAMPLERS.items() if sampler.splits])
def test_a_picture_is_the_same_in_a_part_of_its_batch(name: str) -> None:
    model, sigmas = MODELS["eps"], torch.cat([levels("eps", 6).float(), torch.zeros(1)])
    x = torch.linspace(-9, 9, 48).reshape(4, 3, 2, 2)
    whole = NoiseSource(11, tuple(x.shape))
    part = NoiseSource(11, tuple(x.shape), rows=slice(1, 3))
    alone = sample(name, model, x[1:3], sigmas, noise=part)
    assert torch.equal(alone, sample(name, model, x, sigmas, noise=whole)[1:3])


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_schedule_without_steps_leaves_the_latent_alone(name: str) -> None:
    x = torch.linspace(-1, 1, 8).reshape(1, 2, 2, 2)
    assert torch.equal(sample(name, MODELS["eps"], x, torch.tensor([0.5])), x)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_changes_nothing_it_was_given(name: str) -> None:
    x, sigmas = torch.linspace(-9, 9, 8).reshape(1, 2, 2, 2), torch.tensor([10.0, 3.0, 1.0, 0.0])
    kept, schedule = x.clone(), sigmas.clone()
    sample(name, MODELS["eps"], x, sigmas)
    assert torch.equal(x, kept)
    assert torch.equal(sigmas, schedule)


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "dpm_adaptive"])
def test_a_sampler_does_its_sums_without_waiting_for_the_device(name: str) -> None:
    x = torch.empty((1, 2, 4, 4), device="meta")  # whose values nobody can ask for
    noise = NoiseSource(3, tuple(x.shape), device="meta")
    sigmas = torch.tensor([10.0, 5.0, 2.0, 1.0, 0.0])
    assert sample(name, MODELS["eps"], x, sigmas, noise=noise).device.type == "meta"
