"""Picture operations against the numbers of ComfyUI 0.3.64.

tests/contract/imaging.npz holds random inputs and, under the names of the cases here, what the node
of that name gave for the same arguments: each case was run through the node's class in a ComfyUI
checkout (torch 2.13 on a CPU, kornia 0.8.1, Pillow 13) and its first or only outputs were saved.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeAlias, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from graph.choices import (
    BlendMode,
    Dither,
    FlipMethod,
    MaskOperation,
    PorterDuffMode,
    Rotation,
    ScaleCrop,
    ScaleMethod,
    StitchDirection,
)
from imaging import colors, compositing, filters, masks, quantize, stitch, transform
from imaging.resize import (
    resize,
    scale_image,
    scale_image_by,
    scale_image_to_longest,
    scale_image_to_megapixels,
)

Inputs: TypeAlias = Mapping[str, Tensor]
Case: TypeAlias = Callable[[Inputs], Tensor | tuple[Tensor, ...]]
RECORDED = Path(__file__).parents[1] / "contract" / "imaging.npz"

CASES: dict[str, Case] = {
    "EmptyImage": lambda _: colors.empty_image(3, 2, 2, 0x12FE80),
    "ImageInvert": lambda x: colors.invert_image(x["image"]),
    "ImageRGBToYUV": lambda x: colors.rgb_to_yuv(x["image"]),
    "ImageYUVToRGB": lambda x: colors.yuv_to_rgb(x["image"], x["same"], x["image"].flip(1)),
    "ImageAddNoise": lambda x: colors.add_noise(x["image"], 2**64 - 5, 0.3),
    "ImageBlur": lambda x: filters.gaussian_blur(x["image"], 3, 1.2),
    "ImageSharpen": lambda x: filters.sharpen(x["image"], 1, 0.6, 0.8),
    "ImageCrop": lambda x: transform.crop_image(x["image"], 4, 20, 5, 2),
    "ImageCrop outside": lambda x: transform.crop_image(x["image"], 4, 4, 99, 99),
    "ImageBatch": lambda x: transform.batch_images(x["image"], x["other"]),
    "RepeatImageBatch": lambda x: transform.repeat_images(x["other"], 2),
    "ImageFromBatch": lambda x: transform.images_from_batch(x["pair"], 1, 5),
    "ImagePadForOutpaint": lambda x: transform.pad_for_outpaint(x["image"], (8, 0, 16, 8), 3),
    "ImagePadForOutpaint all sides": lambda x: transform.pad_for_outpaint(x["image"], (8,) * 4, 4),
    "ResizeAndPadImage": lambda x: transform.resize_and_pad(x["image"], 9, 12, "white", "bicubic"),
    "ImageColorToMask": lambda x: masks.color_to_mask(x["levels"], 0x5555AA),
    "ImageToMask": lambda x: masks.image_to_mask(x["rgba"], "alpha"),
    "MaskToImage": lambda x: masks.mask_to_image(x["mask"]),
    "SolidMask": lambda _: masks.solid_mask(0.3, 4, 5),
    "InvertMask": lambda x: masks.invert_mask(x["mask"]),
    "ThresholdMask": lambda x: masks.threshold_mask(x["mask"], 0.3),
    "CropMask": lambda x: masks.crop_mask(x["mask"], 3, 5, 4, 99),
    "FeatherMask": lambda x: masks.feather_mask(x["mask"], 3, 4, 5, 2),
    "JoinImageWithAlpha": lambda x: compositing.join_alpha(x["image"], x["small_mask"]),
    "SplitImageWithAlpha": lambda x: compositing.split_alpha(x["rgba"]),
    "ImageCompositeMasked": lambda x: compositing.composite_images(
        x["image"], x["other"], (6, 3), x["small_mask"], resize_source=False
    ),
    "ImageCompositeMasked resized": lambda x: compositing.composite_images(
        x["image"], x["other"], (0, 0), None, resize_source=True
    ),
    "ImageScale width alone": lambda x: scale_image(x["image"], 17, 0, "bilinear", "disabled"),
    "ImageScaleBy": lambda x: scale_image_by(x["image"], 1.25, "lanczos"),
    "ImageScaleToTotalPixels": lambda x: scale_image_to_megapixels(x["image"], 0.01, "area")[:, :5],
    "ImageScaleToMaxDimension": lambda x: scale_image_to_longest(x["image"], 7, "bicubic"),
    "bislerp": lambda x: resize(x["latent"], 12, 5, "bislerp", "center"),
    "bislerp zeros": lambda x: resize(x["hollow"], 12, 13, "bislerp"),
}


def _scaled(method: ScaleMethod, crop: ScaleCrop, x: Inputs) -> Tensor:
    return scale_image(x["image"], 8, 13, method, crop)


def _blended(mode: BlendMode, x: Inputs) -> Tensor:
    return filters.blend_images(x["image"], x["other"], 0.3, mode)


def _quantized(dither: Dither, x: Inputs) -> Tensor:
    return quantize.quantize_colors(x["image"], 7, dither)


def _rotated(rotation: Rotation, x: Inputs) -> Tensor:
    return transform.rotate_image(x["image"], rotation)


def _flipped(method: FlipMethod, x: Inputs) -> Tensor:
    return transform.flip_image(x["image"], method)


def _combined(operation: MaskOperation, x: Inputs) -> Tensor:
    return masks.combine_masks(x["mask"], x["small_mask"], 7, 2, operation)


def _grown(expand: int, tapered: bool, x: Inputs) -> Tensor:
    return masks.grow_mask(x["mask"], expand, tapered)


def _composited(mode: PorterDuffMode, x: Inputs) -> tuple[Tensor, Tensor]:
    return compositing.porter_duff(x["other"], x["small_mask"], x["image"], x["mask"], mode)


def _stitched(direction: StitchDirection, match: bool, x: Inputs) -> Tensor:
    return stitch.stitch_images(
        x["image"],
        x["rgba"][:, :6],
        direction,
        match_size=match,
        spacing_px=3,
        spacing_color="green",
    )


METHODS: tuple[ScaleMethod, ...] = ("nearest-exact", "bilinear", "area", "bicubic", "lanczos")
CROPS: tuple[ScaleCrop, ...] = get_args(ScaleCrop)
DITHERS: tuple[Dither, ...] = ("none", "floyd-steinberg", "bayer-2", "bayer-16")

CASES |= {f"ImageScale {m} {c}": partial(_scaled, m, c) for m in METHODS for c in CROPS}
CASES |= {f"ImageBlend {mode}": partial(_blended, mode) for mode in filters.BLEND_MODES}
CASES |= {f"ImageQuantize {dither}": partial(_quantized, dither) for dither in DITHERS}
CASES |= {f"ImageRotate {turn}": partial(_rotated, turn) for turn in get_args(Rotation)}
CASES |= {f"ImageFlip {how}": partial(_flipped, how) for how in get_args(FlipMethod)}
CASES |= {f"MaskComposite {op}": partial(_combined, op) for op in get_args(MaskOperation)}
CASES |= {f"GrowMask {n} {t}": partial(_grown, n, t) for n in (2, -2) for t in (True, False)}
CASES |= {
    f"PorterDuffImageComposite {mode}": partial(_composited, mode)
    for mode in compositing.PORTER_DUFF
}
CASES |= {
    f"ImageStitch {direction} {match}": partial(_stitched, direction, match)
    for direction in get_args(StitchDirection)
    for match in (True, False)
}


@pytest.fixture(scope="module")
def recorded() -> Inputs:
    with np.load(RECORDED) as numbers:
        return {name: torch.from_numpy(numbers[name]) for name in numbers}


@pytest.mark.parametrize("name", CASES)
def test_numbers_are_those_of_comfyui(name: str, recorded: Inputs) -> None:
    result = CASES[name](recorded)
    outputs = result if isinstance(result, tuple) else (result,)
    for slot, output in enumerate(outputs):
        # ComfyUI's own rounding, where it sharpens, is above 1e-6
        difference = output - recorded[f"{name}/{slot}"]
        assert difference.shape == output.shape
        assert difference.abs().max() <= 2e-6


def test_operations_leave_their_arguments_alone(recorded: Inputs) -> None:
    before = {key: value.clone() for key, value in recorded.items() if "/" not in key}
    for case in CASES.values():
        case(recorded)
    assert all(torch.equal(recorded[key], value) for key, value in before.items())


@pytest.mark.parametrize(("count", "strides"), [(1, (240, 60, 12, 1)), (2, (240, 1, 48, 4))])
def test_bislerp_has_comfyuis_strides(count: int, strides: tuple[int, ...]) -> None:
    assert resize(torch.rand(count, 4, 8, 8), 12, 5, "bislerp").stride() == strides
