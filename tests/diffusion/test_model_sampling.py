"""Model sampling against ComfyUI's numbers, and the rules that hold for any of them."""

import pytest
import torch
from torch import Tensor

from diffusion.schedules.model_sampling import (
    ModelSampling,
    continuous_edm,
    continuous_v,
    discrete,
    exponential_flow,
    flow,
    stable_cascade,
)
from tests.recorded_sigmas import recorded

RECORDED = recorded()
MODELS: dict[str, ModelSampling] = {
    "sd": discrete(),
    "sd_v_zsnr": discrete("v", zsnr=True),
    "lcm": discrete("lcm"),
    "hunyuan": discrete("v", linear_end=0.018),
    "sqrt_linear": discrete(beta_schedule="sqrt_linear", linear_start=0.0001, linear_end=0.02),
    "x0": discrete("x0"),
    "img": discrete("img_to_img"),
    "edm": continuous_edm("edm", sigma_min=0.002, sigma_max=80.0, sigma_data=0.5),
    "v_edm": continuous_edm("v", sigma_data=1.0),
    "continuous_v": continuous_v(),
    "flow_1": flow(),
    "sd3": flow(shift=3.0),
    "aura": flow(shift=1.73, multiplier=1.0),
    "flux": exponential_flow(),
    "cascade": stable_cascade(shift=2.0),
    "cosmos": continuous_edm("cosmos_rflow", sigma_max=80.0),
}
EXACT = [name for name in MODELS if name != "cascade"]
EXPONENTIAL = {"v_edm", "continuous_v"}  # by torch.exp; its last bit differs between machines


def same(ours: Tensor, name: str, tolerance: float = 1e-6) -> None:
    torch.testing.assert_close(ours.double(), RECORDED[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", EXACT)
def test_the_table_of_sigmas_is_comfyui_s_to_the_bit(name: str) -> None:
    table = MODELS[name].sigmas
    table = table[:: max(1, len(table) // 25)].double()
    last_bit = 2**-22 if name in EXPONENTIAL else 0.0
    torch.testing.assert_close(table, RECORDED[f"table/{name}"], rtol=last_bit, atol=0.0)


@pytest.mark.parametrize("name", MODELS)
def test_time_and_sigma_map_to_each_other_as_in_comfyui(name: str) -> None:
    model, sigma = MODELS[name], RECORDED[f"sigma/{name}"].float()
    time = model.timestep(sigma)
    same(time, f"timestep/{name}", 1e-5)
    same(model.sigma(time.float() * 0.97), f"sigma_of/{name}", 1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_percents_of_sampling_are_comfyui_s_sigmas(name: str) -> None:
    percents = (0.0, 1e-4, 0.2, 0.5, 0.77, 1.0)
    sigmas = torch.tensor([MODELS[name].percent_to_sigma(p) for p in percents]).double()
    same(sigmas, f"percent/{name}", 1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_inputs_outputs_and_noise_are_scaled_as_in_comfyui(name: str) -> None:
    model, sigma = MODELS[name], RECORDED[f"sigma/{name}"].float()[:2]
    x, output, latent = (RECORDED[key].float() for key in ("x", "output", "latent"))
    same(model.input_scaling(sigma, x), f"input/{name}")
    same(model.denoised(sigma, output, x), f"denoised/{name}", 1e-5)
    same(model.noise_scaling(sigma, x, latent), f"noise/{name}")
    same(model.noise_scaling(sigma[1], x, latent, max_denoise=True), f"noise_max/{name}")
    same(model.inverse_noise_scaling(sigma, latent), f"inverse/{name}")


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_is_denoised_row_by_row(name: str) -> None:
    model, sigma = MODELS[name], RECORDED[f"sigma/{name}"].float()[:2]
    x, output = RECORDED["x"].float(), RECORDED["output"].float()
    rows = [model.denoised(sigma[k], output[k : k + 1], x[k : k + 1]) for k in range(2)]
    torch.testing.assert_close(model.denoised(sigma, output, x), torch.cat(rows))


@pytest.mark.parametrize("name", ["sd", "sd3"])
def test_half_log_snr_and_back_is_the_same_sigma(name: str) -> None:
    model = MODELS[name]
    sigma = model.sigmas[10:-10:50]
    torch.testing.assert_close(model.from_half_log_snr(model.half_log_snr(sigma)), sigma)


def test_a_flow_that_starts_at_pure_noise_is_moved_to_a_finite_snr() -> None:
    model = MODELS["sd3"]
    sigmas = model.with_finite_snr(torch.tensor([1.0, 0.5, 0.0]))
    assert sigmas[0] == torch.tensor(model.percent_to_sigma(1e-4))
    assert model.half_log_snr(sigmas[:2]).isfinite().all()


def test_a_run_from_the_highest_sigma_starts_from_pure_noise() -> None:
    model = MODELS["sd"]
    assert model.is_max_denoise(model.sigma_max)
    assert not model.is_max_denoise(model.sigma_max * 0.999)


def test_arguments_are_left_as_they_were() -> None:
    x = torch.ones(2, 3, 2, 2)
    for model in MODELS.values():
        model.noise_scaling(torch.tensor(0.5), x, x)
        model.denoised(torch.tensor([0.5, 0.4]), x, x)
    assert torch.equal(x, torch.ones(2, 3, 2, 2))
