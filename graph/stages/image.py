"""The image stage: operations on pictures and masks."""

from typing import Protocol

from graph.choices import (
    BlendMode,
    BoxColor,
    Channel,
    ClipInterpolation,
    CropPosition,
    Dither,
    FlipMethod,
    MaskOperation,
    MorphologyOperation,
    PictureNoise,
    PorterDuffMode,
    Rotation,
    ScaleCrop,
    ScaleMethod,
    SpacingColor,
    StitchDirection,
)
from graph.stages.batches import Batches
from graph.stages.faces import FaceNetworks
from graph.stages.fitting import Fitting
from graph.stages.hints import DepthDetectors, Hints, LineDetectors, PoseDetectors, Segmentation
from graph.stages.inpainting import Inpainting
from graph.stages.media import Media
from graph.stages.parts import Details, Detecting, MaskParts
from graph.stages.patterns import Patterns
from graph.values import Image, Mask


class Sizes(Protocol):
    """How large pictures are."""

    def image_size(self, image: Image) -> tuple[int, int, int]: ...


class Pictures(Sizes, Protocol):
    """Pictures made, read, turned, cut and batched."""

    def decode_image(self, content: bytes) -> tuple[Image, Mask]: ...

    def decode_with_alpha(self, content: bytes) -> tuple[Image, Mask]: ...

    def empty_image(self, width: int, height: int, batch_size: int, color: int) -> Image: ...

    def crop_image(self, image: Image, width: int, height: int, x: int, y: int) -> Image: ...

    def rotate_image(self, image: Image, rotation: Rotation) -> Image: ...

    def flip_image(self, image: Image, method: FlipMethod) -> Image: ...

    def pad_for_outpaint(
        self, image: Image, sides: tuple[int, int, int, int], feathering: int
    ) -> tuple[Image, Mask]: ...

    def stitch_images(
        self,
        first: Image,
        second: Image,
        direction: StitchDirection,
        *,
        match_size: bool,
        spacing_px: int,
        spacing_color: SpacingColor,
    ) -> Image: ...

    def batch_images(self, first: Image, second: Image) -> Image: ...

    def repeat_images(self, image: Image, amount: int) -> Image: ...

    def images_from_batch(self, image: Image, first: int, length: int) -> Image: ...

    def rebatch_images(self, images: list[Image], batch_size: int) -> tuple[Image, ...]: ...

    def prepare_for_clip(
        self,
        image: Image,
        interpolation: ClipInterpolation,
        crop_position: CropPosition,
        sharpening: float,
    ) -> Image: ...

    def noisy_picture(
        self, image: Image | None, kind: PictureNoise, strength: float, blur: int
    ) -> Image: ...

    def scaled_for_kontext(self, image: Image) -> Image: ...


class Filters(Protocol):
    """Pictures scaled, blurred, mixed and otherwise changed."""

    def scale_image(
        self, image: Image, width: int, height: int, method: ScaleMethod, crop: ScaleCrop
    ) -> Image: ...

    def scale_image_by(self, image: Image, factor: float, method: ScaleMethod) -> Image: ...

    def scale_image_to_megapixels(
        self, image: Image, megapixels: float, method: ScaleMethod
    ) -> Image: ...

    def scale_image_to_area(self, image: Image, area_px: int, multiple: int) -> Image: ...

    def scale_image_to_longest(
        self, image: Image, longest_px: int, method: ScaleMethod
    ) -> Image: ...

    def resize_and_pad(
        self, image: Image, width: int, height: int, color: BoxColor, method: ScaleMethod
    ) -> Image: ...

    def invert_image(self, image: Image) -> Image: ...

    def gaussian_blur(self, image: Image, radius: int, sigma: float) -> Image: ...

    def sharpen(self, image: Image, radius: int, sigma: float, amount: float) -> Image: ...

    def blend_images(self, image: Image, other: Image, factor: float, mode: BlendMode) -> Image: ...

    def quantize_colors(self, image: Image, colors: int, dither: Dither) -> Image: ...

    def morph(self, image: Image, operation: MorphologyOperation, kernel_size: int) -> Image: ...

    def rgb_to_yuv(self, image: Image) -> tuple[Image, Image, Image]: ...

    def yuv_to_rgb(self, y: Image, u: Image, v: Image) -> Image: ...

    def add_noise(self, image: Image, seed: int, strength: float) -> Image: ...

    def composite_images(
        self,
        destination: Image,
        source: Image,
        at: tuple[int, int],
        mask: Mask | None,
        *,
        resize_source: bool,
    ) -> Image: ...

    def canny(self, image: Image, low_threshold: float, high_threshold: float) -> Image: ...


class Masks(Protocol):
    """Masks, and pictures with an alpha channel."""

    def decode_mask(self, content: bytes, channel: Channel) -> Mask: ...

    def solid_mask(self, value: float, width: int, height: int) -> Mask: ...

    def mask_to_image(self, mask: Mask) -> Image: ...

    def image_to_mask(self, image: Image, channel: str) -> Mask: ...

    def color_to_mask(self, image: Image, color: int) -> Mask: ...

    def invert_mask(self, mask: Mask) -> Mask: ...

    def threshold_mask(self, mask: Mask, value: float) -> Mask: ...

    def crop_mask(self, mask: Mask, x: int, y: int, width: int, height: int) -> Mask: ...

    def combine_masks(
        self, destination: Mask, source: Mask, x: int, y: int, operation: MaskOperation
    ) -> Mask: ...

    def feather_mask(self, mask: Mask, left: int, top: int, right: int, bottom: int) -> Mask: ...

    def grow_mask(self, mask: Mask, expand: int, tapered_corners: bool) -> Mask: ...

    def porter_duff(
        self,
        source: Image,
        source_mask: Mask,
        destination: Image,
        destination_mask: Mask,
        mode: PorterDuffMode,
    ) -> tuple[Image, Mask]: ...

    def split_alpha(self, image: Image) -> tuple[Image, Mask]: ...

    def join_alpha(self, image: Image, alpha: Mask) -> Image: ...


class ImageFunctions(
    Pictures,
    Filters,
    Masks,
    Hints,
    LineDetectors,
    DepthDetectors,
    PoseDetectors,
    Segmentation,
    MaskParts,
    Detecting,
    Details,
    FaceNetworks,
    Patterns,
    Fitting,
    Inpainting,
    Media,
    Batches,
    Protocol,
):
    """What nodes of the image stage may call."""
