"""Ways to bring pictures to a size, besides those of ComfyUI's older nodes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from graph.choices import ColorMatching, ScaleCrop, ScaleMethod
from graph.values import Image, Mask

FitMethod = Literal["nearest", "bilinear", "bicubic", "area", "nearest-exact", "lanczos"]


@dataclass(frozen=True)
class Fit:
    """How a picture of other proportions fits a size, and which pictures are resized."""

    method: Literal["stretch", "keep proportion", "fill / crop", "pad"]
    condition: Literal[
        "always", "downscale if bigger", "upscale if smaller", "if bigger area", "if smaller area"
    ]


Proportions = Literal[
    "stretch",
    "resize",
    "pad",
    "pad_edge",
    "pad_edge_pixel",
    "crop",
    "pillarbox_blur",
    "total_pixels",
]


@dataclass(frozen=True)
class PaddedFit:
    """How a picture fits a size with borders or cut, under the names of KJNodes' inputs."""

    keep_proportion: Proportions
    pad_color: str
    crop_position: Literal["center", "top", "bottom", "left", "right"]
    divisible_by: int


@dataclass(frozen=True)
class Growth:
    """How masks grow from frame to frame, under the names of KJNodes' inputs."""

    expand: int
    incremental_expandrate: float
    tapered_corners: bool
    flip_input: bool
    blur_radius: float
    lerp_alpha: float
    decay_factor: float
    fill_holes: bool


class Fitting(Protocol):
    """Pictures fitted, batched, cut and sharpened."""

    def resize_any(
        self, picture: Image | Mask, how: Mapping[str, Any], method: ScaleMethod
    ) -> Image | Mask: ...

    def batch_pictures(self, images: list[Image]) -> Image: ...

    def fit_image(
        self,
        image: Image,
        size: tuple[int, int],
        fit: Fit,
        interpolation: FitMethod,
        *,
        multiple_of: int,
    ) -> tuple[Image, int, int]: ...

    def fit_image_divisible(
        self,
        image: Image,
        size: tuple[int, int],
        method: ScaleMethod,
        *,
        crop: ScaleCrop,
        keep_proportion: bool,
        divisible_by: int,
        like: Image | None,
    ) -> tuple[Image, int, int]: ...

    def fit_image_and_mask(
        self,
        image: Image,
        mask: Mask | None,
        size: tuple[int, int],
        how: PaddedFit,
        method: ScaleMethod,
    ) -> tuple[Image, int, int, Mask]: ...

    def grow_masks(self, mask: Mask, how: Growth) -> tuple[Mask, Mask]: ...

    def resample(
        self,
        image: Image,
        size: tuple[int, int] | float,
        method: Literal["lanczos", "nearest", "bilinear", "bicubic"],
        *,
        by_way_of: int,
    ) -> Image: ...

    def match_colors(
        self, reference: Image, target: Image, method: ColorMatching, strength: float
    ) -> Image: ...

    def sharpen_adaptively(self, image: Image, amount: float) -> Image: ...

    def crop_at(
        self, image: Image, size: tuple[int, int], position: str, offset: tuple[int, int]
    ) -> tuple[Image, int, int]: ...
