"""Samplers against ComfyUI 0.3.64's, driven by the same analytic denoiser.

samplers.npz holds what comfy.samplers.KSAMPLER.sample returned on the CPU (x) and gave its last
callback (x0) for each case [model, sampler, options, label], with the sigmas it was given. The
initial noise is prepare_noise of SEED over LATENT, and the denoiser is `predict` below.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion.latent.noise import NoiseSource
from diffusion.samplers import SAMPLERS
from diffusion.samplers.protocol import Midway, Prediction, SamplingContext
from diffusion.schedules.model_sampling import discrete, flow

SEED = 1234
LATENT = torch.linspace(-1.5, 1.5, 24).reshape(2, 3, 2, 2)
MODELS = {"eps": discrete(), "flow": flow(shift=3.0)}
RECORDED = np.load(Path(__file__).parents[1] / "contract" / "samplers.npz")
CASES: list[list[Any]] = json.loads(str(RECORDED["cases"]))


def predict(x: Tensor, sigma: Tensor) -> Prediction:
    denoised = 0.9 * torch.tanh(x / (1 + 0.5 * sigma)) + 0.1 * torch.sin(3 * x / (1 + sigma))
    return Prediction(denoised, 0.8 * torch.tanh(x / (1 + 0.6 * sigma)) - 0.05)


def sample(model: str, name: str, options: dict[str, Any], sigmas: Tensor) -> tuple[Tensor, Tensor]:
    """(the final latent, the prediction of the last step) as ComfyUI's KSAMPLER has them."""
    sampler, sampling = SAMPLERS[name], MODELS[model]
    noise = NoiseSource(SEED, tuple(LATENT.shape))
    x = sampling.noise_scaling(
        sigmas[0], noise.initial(), LATENT, sampling.is_max_denoise(sigmas[0])
    )
    steps = sampler.function(x, sigmas, SamplingContext(noise, sampling), **options)
    last = LATENT
    try:
        question = next(steps)
        while True:
            prediction = predict(*question)
            if not isinstance(question, Midway):
                last = prediction.denoised
            question = steps.send(prediction if sampler.wants_uncond else prediction.denoised)
    except StopIteration as end:
        return sampling.inverse_noise_scaling(sigmas[-1], end.value), last


@pytest.mark.parametrize("k", range(len(CASES)), ids=[" ".join(map(str, c)) for c in CASES])
def test_a_sampler_ends_where_comfyui_s_ends(k: int) -> None:
    model, name, options, _ = CASES[k]
    count = int(RECORDED["sigmas"][k, 0])
    x, x0 = sample(model, name, options, torch.tensor(RECORDED["sigmas"][k, 1 : 1 + count]))
    # Recorded on another machine; its rounding grows to 6e-5 in some.
    torch.testing.assert_close(x, torch.tensor(RECORDED["x"][k]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(x0, torch.tensor(RECORDED["x0"][k]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "name",
    [name for name in RECORDED.files if name.startswith("upscale") and name[-6:] != "sigmas"],
)
def test_lcm_upscale_grows_the_latent_as_comfyui_does(name: str) -> None:
    _, model, ratio, steps, method = name.split("/")
    options = {
        "scale_ratio": float(ratio),
        "scale_steps": int(steps),
        "upscale_method": method,
    }
    sigmas = torch.tensor(RECORDED[f"upscale/{model}/sigmas"])
    x, _ = sample(model, "lcm_upscale", options, sigmas)
    torch.testing.assert_close(x, torch.tensor(RECORDED[name]), rtol=1e-4, atol=1e-4)


def test_every_sampler_a_workflow_may_name_exists() -> None:
    assert {name for _, name, _, _ in CASES} | {"lcm_upscale"} == set(SAMPLERS)
