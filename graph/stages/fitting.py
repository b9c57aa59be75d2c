"""Ways to bring pictures to a size, besides those of ComfyUI's older nodes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from graph.choices import ScaleCrop, ScaleMethod
from graph.values import Image, Mask

FitMethod = Literal["nearest", "bilinear", "bicubic", "area", "nearest-exact", "lanczos"]


@dataclass(frozen=True)
class Fit:
    """How a picture of other proportions fits a size, and which pictures are resized."""

    method: Literal["stretch", "keep proportion", "fill / crop", "pad"]
    condition: Literal[
        "always", "downscale if bigger", "upscale if smaller", "if bigger area", "if smaller area"
    ]


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

    def sharpen_adaptively(self, image: Image, amount: float) -> Image: ...

    def crop_at(
        self, image: Image, size: tuple[int, int], position: str, offset: tuple[int, int]
    ) -> tuple[Image, int, int]: ...
