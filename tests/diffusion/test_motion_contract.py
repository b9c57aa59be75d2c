"""Windows, their weights and beta schedules against ComfyUI-AnimateDiff-Evolved's own numbers.

`tests/contract/animatediff.json.gz` holds what its commit d8d163c computed with ComfyUI 0.3.64.
"""

import gzip
import json
from typing import Any

import pytest
import torch

from diffusion.motion.windows import frames_of, fused, weights_of
from diffusion.schedules.beta_schedules import of_beta_schedule
from graph.motion import Windows
from tests.diffusion.model_files import CONTRACT

RECORDED: dict[str, Any] = json.loads(
    gzip.decompress((CONTRACT / "animatediff.json.gz").read_bytes())
)


def test_windows_lie_where_the_packs_do() -> None:
    assert len(RECORDED["windows"]) == 160
    for schedule, frames, length, stride, overlap, closed, step, expected in RECORDED["windows"]:
        windows = Windows(schedule, length, overlap, stride, closed)
        found = [list(own) for own in frames_of(windows, frames, step)]
        assert found == expected, (schedule, frames, length, stride, overlap, closed, step)


def test_frames_of_windows_weigh_as_the_packs_do() -> None:
    """None is where the pack fails, for windows of an odd length."""
    for method, length, first, frames, overlap, sigma, expected in RECORDED["weights"]:
        windows = Windows("standard_static", length, overlap, fuse_method=method)
        own = tuple(range(first, first + length))
        weights = weights_of(windows, own, frames, sigma)
        assert len(weights) == length
        if expected is not None:
            torch.testing.assert_close(weights, torch.tensor(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", RECORDED["betas"])
def test_beta_schedules_have_the_packs_noise_levels(name: str) -> None:
    own, _, kind = name.rpartition("/")
    expected = RECORDED["betas"][name]
    sampling = of_beta_schedule(own, "v" if kind == "V_PREDICTION" else "eps")
    sigmas = torch.tensor(expected["sigmas"])
    assert len(sampling.sigmas) == expected["n"]
    torch.testing.assert_close(sampling.sigmas[::7], sigmas, rtol=1e-5, atol=1e-6)
    times = [float(sampling.timestep(torch.tensor(sigma))) for sigma in (0.1, 1.0, 5.0)]
    assert times == expected["t"]
    denoised = sampling.denoised(
        torch.tensor(1.5), torch.full((1, 1, 1, 1), 0.5), torch.full((1, 1, 1, 1), 2.0)
    )
    assert float(denoised) == pytest.approx(expected["denoised"], rel=1e-5)
    assert sampling.percent_to_sigma(0.5) == pytest.approx(expected["half"], rel=1e-5)


def test_a_running_mean_weighs_by_the_distance_to_the_middle() -> None:
    windows = Windows("standard_static", 3, 1, fuse_method="relative")
    first, second = torch.ones(3, 1), torch.full((3, 1), 5.0)
    mean = fused(windows, [((0, 1, 2), first), ((2, 3, 4), second)], torch.zeros(5, 1), 1.0)
    assert mean[:2].tolist() == [[1.0], [1.0]]
    assert mean[3:].tolist() == [[5.0], [5.0]]
    assert float(mean[2]) == pytest.approx(3.0)  # at the edge of both
