"""Parts of pictures (SEGS), found, changed, cut out and put back by the image stage."""

from collections.abc import Sequence
from typing import Any, Protocol

from graph.segs import BboxDetector, Detection, SamHints, SamModel, SegmDetector, Segs
from graph.values import Image, Mask


class MaskParts(Protocol):
    """SEGS and masks, made of each other."""

    def mask_to_segs(
        self,
        mask: Mask,
        *,
        combined: bool,
        crop_factor: float,
        bbox_fill: bool,
        drop_size: int,
        contour_fill: bool,
    ) -> Segs: ...

    def combined_mask(self, segs: Segs) -> Mask: ...

    def mask_list(self, segs: Segs) -> tuple[Mask, ...]: ...

    def mask_batch(self, segs: Segs) -> Mask: ...

    def within(self, segs: Segs, masks: Sequence[Mask]) -> Segs: ...

    def merged(self, segs: Segs) -> Segs: ...

    def pictures_of(self, segs: Segs, image: Image | None) -> tuple[Image, ...]: ...

    def dilate_segs(self, segs: Segs, dilation: int) -> Segs: ...

    def blur_segs(self, segs: Segs, radius: int, sigma: float) -> Segs: ...

    def dilate_mask(self, mask: Mask, size: int) -> Mask: ...

    def blur_mask(self, mask: Mask, radius: int, sigma: float = ...) -> Mask: ...

    def combine_levels(self, first: Mask, second: Mask, operation: str) -> Mask: ...


class Detecting(Protocol):
    """Parts that networks find. `detectors` has the networks."""

    @property
    def detectors(self) -> Any: ...

    def find_boxes(
        self, detectors: Any, detector: BboxDetector, image: Image, how: Detection
    ) -> Segs: ...

    def find_shapes(
        self, detectors: Any, detector: SegmDetector, image: Image, how: Detection
    ) -> Segs: ...

    def sam_mask(
        self, detectors: Any, sam: SamModel, segs: Segs, image: Image, hints: SamHints
    ) -> Mask: ...

    def sam_masks(
        self, detectors: Any, sam: SamModel, segs: Segs, image: Image, hints: SamHints
    ) -> tuple[Mask, Mask]: ...

    def combined_mask(self, segs: Segs) -> Mask: ...

    def within(self, segs: Segs, masks: Sequence[Mask]) -> Segs: ...

    def dilate_segs(self, segs: Segs, dilation: int) -> Segs: ...

    def images_from_batch(self, image: Image, first: int, length: int) -> Image: ...

    def batch_count(self, batch: Image) -> int: ...


class Details(Protocol):
    """Parts cut out of pictures to be drawn again, and put back."""

    def one_picture(self, image: Image) -> Image: ...

    def scaled_to(self, segs: Segs, image: Image) -> Segs: ...

    def drawable(self, segs: Segs) -> tuple[int, ...]:
        """The places of the parts whose mask is not empty."""

    def cut_part(
        self, image: Image, segs: Segs, index: int, size: tuple[int, int], feather: int
    ) -> tuple[Image, Mask, Image]: ...

    def put_part(
        self, image: Image, part: Image, segs: Segs, index: int, feather: int
    ) -> tuple[Image, Image, Image]: ...

    def paste_parts(
        self, image: Image, segs: Segs, feather: int, alpha: int, reference: Image | None
    ) -> Image: ...

    def parts_mask(self, batch: tuple[Segs, ...]) -> Mask: ...
