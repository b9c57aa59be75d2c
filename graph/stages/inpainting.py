"""Masks and pictures made ready for inpainting, and put back after it."""

from typing import Literal, Protocol

from graph.values import Image, Mask

MaskBlur = Literal["box", "linear", "gaussian"]
MaskedFill = Literal["neutral", "telea", "navier-stokes"]


class Inpainting(Protocol):
    """What Krita's plugin needs of pictures and masks. `reach` is in pixels."""

    def expand_mask(self, mask: Mask, reach: int, blur: int, kind: MaskBlur) -> Mask: ...

    def shrink_mask(self, mask: Mask, reach: int, blur: int, kind: MaskBlur) -> Mask: ...

    def stabilize_mask(self, mask: Mask, epsilon: float) -> Mask: ...

    def steepen_mask(self, mask: Mask, offset: float, threshold: float) -> Mask: ...

    def mask_bounds(self, mask: Mask) -> tuple[int, int, int, int]: ...

    def fill_masked(self, image: Image, mask: Mask, fill: MaskedFill, falloff: int) -> Image: ...

    def blur_masked(self, image: Image, mask: Mask, blur: int, falloff: int) -> Image: ...

    def with_opacity(self, image: Image, mask: Mask) -> Image: ...

    def match_lab_colors(
        self, target: Image, reference: Image, exclude: Mask | None, strength: float
    ) -> Image: ...
