"""Canny edges, on pictures whose edges are known and against recorded ones.

tests/contract/canny.npz holds two pictures and, as packed bits, the edges that ComfyUI 0.3.64's
Canny node draws of them (kornia 0.8.1) at the thresholds in their names. No two neighbours in them
are equally steep: which of two is the edge would hang on the last bit of a processor's convolution.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from preprocessors.canny import ThresholdOrderError, canny, connected

RECORDED = Path(__file__).parents[1] / "contract" / "canny.npz"


def step_edge(height: float) -> Tensor:
    """Dark to the left, brighter by `height` from column 10 on."""
    picture = torch.zeros(1, 20, 20, 3)
    picture[:, :, 10:] = height
    return picture


@pytest.mark.parametrize("name", ["blobs", "blocks"])
@pytest.mark.parametrize("thresholds", [(0.4, 0.8), (0.1, 0.2)])
def test_edges_are_those_of_comfyui(name: str, thresholds: tuple[float, float]) -> None:
    with np.load(RECORDED) as recorded:
        picture = recorded[name]
        bits = recorded[f"{name}/{thresholds[0]}/{thresholds[1]}"]
    edges = canny(torch.from_numpy(picture.astype(np.float32) / 255)[None], *thresholds)
    height, width = picture.shape[:2]
    expected = np.unpackbits(bits)[: height * width].reshape(height, width)
    assert edges.shape == (1, height, width, 3)
    assert np.array_equal(edges[0, ..., 0].numpy(), expected)


def test_a_ramp_between_two_planes_is_one_line() -> None:
    picture = step_edge(1.0)
    picture[:, :, 9] = 0.3  # off the middle, so that no two pixels are equally steep
    edges = canny(picture, 0.4, 0.8)[0, :, :, 0]
    assert (edges.sum(dim=1) == 1).all()


def test_an_even_picture_has_no_edges() -> None:
    assert canny(torch.full((1, 16, 16, 3), 0.5), 0.1, 0.2).max() == 0


def test_a_low_threshold_above_the_high_one_is_refused() -> None:
    with pytest.raises(ThresholdOrderError, match=r"at most high_threshold, 0\.3; it is 0\.6"):
        canny(step_edge(1.0), 0.6, 0.3)


def test_weak_edges_need_a_strong_one() -> None:
    strong = torch.zeros(1, 1, 5, 5, dtype=torch.bool)
    weak = torch.zeros_like(strong)
    strong[..., 0, 0] = True
    weak[..., 1, 1] = weak[..., 2, 2] = weak[..., 4, 4] = True
    assert connected(strong, weak).nonzero()[:, 2:].tolist() == [[0, 0], [1, 1], [2, 2]]
