"""Noise that IPAdapterNoise makes: by the formulas, and the same at every call."""

from typing import get_args

import pytest
import torch
from torch import Generator, Tensor

from graph.choices import PictureNoise
from imaging.clip_noise import noisy_picture

GREY = torch.full((1, 224, 224, 3), 0.25)


def drawn(image: Tensor) -> Generator:
    return Generator().manual_seed(int(image.sum()))


@pytest.mark.parametrize("kind", get_args(PictureNoise))
@pytest.mark.parametrize("blur", [0, 1, 4])
def test_noise_is_the_same_whenever_it_is_asked(kind: PictureNoise, blur: int) -> None:
    image = torch.rand(2, 60, 90, 3, generator=Generator().manual_seed(1))
    one, other = (noisy_picture(image, kind, 0.5, blur) for _ in range(2))
    assert one.shape == (2, 224, 224, 3)
    assert 0 <= float(one.min()) <= float(one.max()) <= 1
    assert torch.equal(one, other)


def test_noise_is_mixed_by_its_formula() -> None:
    generator = drawn(GREY)
    uniform, second = (torch.rand(GREY.shape, generator=generator) for _ in range(2))
    normal = torch.randn(GREY.shape, generator=drawn(GREY))
    expected: dict[PictureNoise, Tensor] = {
        "fade": GREY * 0.7 + uniform * 0.3,
        "dissolve": torch.where(uniform < 0.3, second, GREY),
        "gaussian": (GREY + normal * 0.3).clamp(0, 1),
    }
    for kind, picture in expected.items():
        torch.testing.assert_close(noisy_picture(GREY, kind, 0.3, 0), picture)


def test_without_strength_there_is_no_noise() -> None:
    for kind in ("fade", "dissolve", "gaussian"):
        assert torch.equal(noisy_picture(GREY, kind, 0.0, 0), GREY)


def test_what_is_shuffled_is_what_lies_near() -> None:
    half = torch.zeros(1, 224, 224, 3)
    half[:, :112] = 1.0
    shuffled = noisy_picture(half, "shuffle", 0.0, 0)  # turned around, smoothly distorted
    assert float(shuffled[:, 140:200].mean()) > 0.9
    assert float(shuffled[:, 20:80].mean()) < 0.1
    assert not torch.equal(shuffled, half.flip(1))


def test_a_blur_takes_out_what_is_fine() -> None:
    sharp, blurred = (noisy_picture(None, "fade", 1.0, blur) for blur in (0, 9))
    assert float(blurred.std()) < 0.5 * float(sharp.std())
