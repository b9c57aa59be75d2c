"""How much of an image prompt each transformer takes, against the pack's tables."""

from dataclasses import replace

import pytest

from diffusion.families.sd.image_weights import (
    SD15_ROLES,
    SDXL_ROLES,
    LayerWeightsError,
    Place,
    Share,
    share_of,
)
from graph.image_prompts import ImageUse


def shares(use: ImageUse, *, is_sdxl: bool) -> dict[int, float]:
    """The weight of every transformer that takes any."""
    blocks = (4, 1, 6) if is_sdxl else (6, 1, 9)
    kinds = [
        k for k, n in zip(("input", "middle", "output"), blocks, strict=True) for _ in range(n)
    ]
    places = [Place(i, kind, len(kinds)) for i, kind in enumerate(kinds)]  # type: ignore[arg-type]
    found = {
        place.index: share_of(use, place, SDXL_ROLES if is_sdxl else SD15_ROLES) for place in places
    }
    return {index: share.weight for index, share in found.items() if share is not None}


STYLE_15 = (0, 1, 2, 3, 9, 10, 11, 12, 13, 14, 15)


@pytest.mark.parametrize(
    ("weight_type", "is_sdxl", "expected"),
    [
        ("linear", True, dict.fromkeys(range(11), 2.0)),
        ("ease in", False, {i: 2 * (0.05 + 0.95 * (1 - i / 16)) for i in range(16)}),
        ("ease out", True, {i: 2 * (0.05 + 0.95 * i / 11) for i in range(11)}),
        ("ease in-out", False, {i: 2 * (0.05 + 0.95 * (1 - abs(i - 8) / 8)) for i in range(16)}),
        ("reverse in-out", True, {i: 2 * (0.05 + 0.95 * abs(i - 5.5) / 5.5) for i in range(11)}),
        ("weak input", True, {i: 0.4 if i < 4 else 2.0 for i in range(11)}),
        ("weak middle", False, {i: 0.4 if i == 6 else 2.0 for i in range(16)}),
        ("weak output", True, {i: 0.4 if i > 4 else 2.0 for i in range(11)}),
        ("strong middle", True, {i: 2.0 if i == 4 else 0.4 for i in range(11)}),
        ("style transfer", True, {6: 2.0}),
        ("style transfer", False, dict.fromkeys(STYLE_15, 2.0)),
        ("composition", True, {3: 2.0}),
        ("composition", False, {4: 0.5, 5: 2.0}),
        ("strong style transfer", True, {i: 2.0 for i in range(11) if i != 3}),
        ("strong style transfer", False, {i: 2.0 for i in range(16) if i not in {4, 5}}),
        ("style and composition", True, {3: 1.0, 6: 2.0}),
        ("style and composition", False, {**dict.fromkeys(STYLE_15, 2.0), 4: 0.25, 5: 1.0}),
        ("strong style and composition", True, {**dict.fromkeys(range(11), 2.0), 3: 1.0}),
        ("style transfer precise", True, {3: 2.0, 6: 2.0}),
        ("composition precise", True, {**dict.fromkeys(range(11), 0.2), 3: 2.0, 6: 2.0}),
    ],
)
def test_weight_types_are_the_packs_tables(
    weight_type: str, is_sdxl: bool, expected: dict[int, float]
) -> None:
    found = shares(ImageUse(weight=2.0, weight_type=weight_type), is_sdxl=is_sdxl)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("weight_type", "expected"),
    [
        ("style transfer precise", {3: 0.5, 6: 2.0}),
        ("composition precise", {**dict.fromkeys(range(11), 0.05), 3: 2.0, 6: 0.5}),
    ],
)
def test_a_boost_is_for_what_a_precise_type_goes_away_from(
    weight_type: str, expected: dict[int, float]
) -> None:
    use = ImageUse(weight=2.0, weight_type=weight_type, boost=0.5)
    assert shares(use, is_sdxl=True) == pytest.approx(expected)


def test_layer_weights_go_before_the_type() -> None:
    use = ImageUse(weight=2.0, weight_type="ease in", layer_weights="3:2.5, 6:1")
    assert shares(use, is_sdxl=True) == {3: 5.0, 6: 2.0}
    with pytest.raises(LayerWeightsError):
        shares(replace(use, layer_weights="3=2"), is_sdxl=True)


def test_precise_types_push_the_negative_towards_the_picture() -> None:
    use = ImageUse(weight_type="style transfer precise")
    pushed = share_of(use, Place(3, "input", 11), SDXL_ROLES)
    assert pushed == Share(1.0, "zeros", "positive")
